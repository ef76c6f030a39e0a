"""The nouns: frozen facts that may be logged, persisted and shown. None of them ever holds key material."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property
from hashlib import sha256
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from tasks.domain.failure_codes import FailureCode
from tasks.domain.parameters import RunParameters
from tasks.domain.reasons import NOT_OURS, QUIET, Reason

ISSUANCE_LATE_AFTER = timedelta(hours=1)
"""An issuance that takes longer is late; with ACME it takes up to a minute."""
CONFIG = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
"""Of every noun. Validation errors never show the value, which could be anything."""


class Model(BaseModel):
    """Base of the nouns."""

    model_config = CONFIG


class Row:
    """Base of those that a run has by the ten thousand: slotted dataclasses, a fifth of a Model's size.

    Pydantic checks one that comes out of JSON, as part of a Model; else its types do.
    """

    __slots__ = ()
    __pydantic_config__: ClassVar[ConfigDict] = CONFIG


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretRef(Row):
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Version(Row):
    """Which content a Secret holds: enough to tell two versions apart, and when each one ends."""

    fingerprint: str
    """Digest over all data sent, `v1:sha256:<hex>`; not the X.509 fingerprint."""
    not_before: datetime
    not_after: datetime

    def days_left(self, now: datetime) -> int:
        """Whole days until notAfter; negative once it has passed."""
        return (self.not_after - now) // timedelta(days=1)


class Certificate(Model):
    """The facts of one fit Secret on OPS."""

    ref: SecretRef
    uid: str
    resource_version: str
    keys: tuple[str, ...]
    """The keys of `data` that travel, sorted."""
    kept_keys: tuple[str, ...] = ()
    """Those that stay on OPS, sorted: a keystore, for one."""
    serial: str
    """Serial number in hexadecimal."""
    issuer: str
    dns_names: tuple[str, ...]
    other_names: tuple[str, ...] = ()
    """Subject alternative names of other kinds (IP, URI, e-mail), which no target accepts."""
    version: Version
    leaf: str = ""
    """SHA-256 of the certificate alone, in hexadecimal: its X.509 fingerprint."""
    renewal: datetime | None = None
    """When cert-manager renews it, as far as its Certificate tells."""
    warnings: tuple[str, ...] = ()
    """What a person should know of it, though it is fit to be sent."""


class Rejection(Model):
    """A Secret on OPS that is not fit to be sent, and why."""

    ref: SecretRef
    reason: Reason
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuance(Row):
    """A certificate that cert-manager has yet to issue: its Certificate is there, and no fit Secret."""

    ref: SecretRef
    """Of the Secret, there or not."""
    certificate: str
    """Name of the Certificate."""
    since: datetime
    """Since when there is no fit one, as far as the Certificate tells."""
    attempts: int = 0
    """How many have failed."""
    held: Reason | None = None
    """Why what the Secret holds is not fit; None where there is no Secret."""

    def reason(self, now: datetime) -> Reason:
        is_late = self.attempts or now - self.since >= ISSUANCE_LATE_AFTER
        return Reason.ISSUANCE_LATE if is_late else Reason.ISSUANCE_PENDING

    @property
    def detail(self) -> str:
        told = [f"Certificate {self.certificate}", f"since {self.since:%Y-%m-%d %H:%M} UTC"]
        told += [f"failed attempts: {self.attempts}"] if self.attempts else []
        told += [f"the Secret so far: {self.held}"] if self.held else []
        return ", ".join(told)


class Failure(Model):
    """Something that went wrong while talking to a cluster, said for the person on call."""

    code: FailureCode
    cluster: str
    what: str
    """What was asked of the cluster, with the object: `list secrets in homarr-dev`."""
    detail: str = ""
    """Numbers and names only; never a server's text."""
    transient: bool = False

    def __str__(self) -> str:
        detail = f" ({self.detail})" if self.detail else ""
        return f"{self.code}: {self.what}: {self.code.sentence}{detail}"


SourceEntry = Certificate | Rejection | Issuance
"""What OPS has under one name."""


class SourceSnapshot(Model):
    """What OPS holds at one moment."""

    certificates: tuple[Certificate, ...] = ()
    rejections: tuple[Rejection, ...] = ()
    issuances: tuple[Issuance, ...] = ()
    unrouted_rejections: int = 0
    """How many are left out here since no route of any cluster names them; only in reports."""
    unrouted_issuances: int = 0
    warnings: tuple[str, ...] = ()
    cluster_id: str = ""
    """The uid of OPS's namespace kube-system."""
    credential_ends: datetime | None = None
    """When the credential for OPS ends, where that is known."""
    failure: Failure | None = None
    """Why OPS could not be read; then nothing is known, and no cluster is touched."""

    @cached_property
    def digest(self) -> str:
        return sha256(self.model_dump_json().encode()).hexdigest()

    @property
    def all_warnings(self) -> tuple[str, ...]:
        """Those about OPS, and those about single certificates."""
        about = (f"{one.ref.name}: {text}" for one in self.certificates for text in one.warnings)
        return (*self.warnings, *about)

    @cached_property
    def by_name(self) -> Mapping[str, Certificate]:
        """The certificates, by the name of their Secret: one table for all clusters of a run."""
        return {one.ref.name: one for one in self.certificates}

    @property
    def entries(self) -> "dict[str, SourceEntry]":
        """All that OPS holds, or is to hold, by the name of the Secret."""
        others: tuple[Rejection | Issuance, ...] = (*self.rejections, *self.issuances)
        return {**self.by_name, **{one.ref.name: one for one in others}}

    def corrected(self, found: "Mapping[str, SourceEntry | None]") -> "SourceSnapshot":
        """With what a second look at some Secrets found, by name; None where one is gone."""
        known: dict[str, SourceEntry | None] = {**self.entries, **found}
        now = [known[name] for name in sorted(known)]
        corrected = self.model_copy(
            update={
                "certificates": tuple(one for one in now if isinstance(one, Certificate)),
                "rejections": tuple(one for one in now if isinstance(one, Rejection)),
                "issuances": tuple(one for one in now if isinstance(one, Issuance)),
            }
        )
        for worked_out in ("digest", "by_name"):  # of the original: a copy has that, too
            corrected.__dict__.pop(worked_out, None)
        return corrected


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner(Row):
    """On whose behalf copies are written: what a copy has to say to be ours."""

    name: str
    cluster_id: str
    """The uid of OPS's namespace kube-system."""
    former: frozenset[str] = frozenset()
    """Those of OPS clusters that this one replaces."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrphanRecord(Row):
    """What is noted on a copy whose certificate is gone from OPS, or was gone when a run last looked."""

    since: datetime | None = None
    """When a run first found it gone; None where no run has noted that."""
    seen: datetime | None = None
    """When a run last noted that."""
    runs: int = 0
    """How many noted it."""
    source: str = ""
    """The Secret on OPS that the copy says it came from: `namespace/name`."""
    kept: str = ""
    """Why it is never deleted by us; empty where nothing speaks against it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagedKeys(Row):
    """What managedFields says about who wrote a Secret on a target."""

    ours: frozenset[str] | None = None
    """Keys of `data` in our Apply entry; empty where our patch waits for it, None where nothing is ours."""
    ours_metadata: frozenset[str] = frozenset()
    """Labels and annotations in our Apply entry."""
    others: frozenset[str] = frozenset()
    """Keys of `data` that any other manager owns."""
    written: str = ""
    """When our Apply entry last changed the Secret, as the API server notes it (RFC 3339)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetSecret(Row):
    """A Secret on a target as a list without data shows it."""

    ref: SecretRef
    uid: str
    resource_version: str
    type: str
    labels: dict[str, str] = field(default_factory=dict)
    """Only the labels that decide ownership."""
    annotations: dict[str, str] = field(default_factory=dict)
    """Only our own: foreign ones can carry a key (last-applied-configuration does)."""
    managed: ManagedKeys = ManagedKeys()
    immutable: bool = False
    terminating: bool = False
    managed_by: Reason | None = None
    """Who else looks after it, as far as its metadata tells; or that this can't be read."""
    has_last_applied: bool = False
    """It has kubectl's annotation last-applied-configuration, which holds the key again."""
    read: Version | None = None
    """Facts of the certificate it really holds, where the copy had to be read."""
    was_read: bool = False
    keys: frozenset[str] = frozenset()
    """The names of all keys of its `data`, where it was read."""
    unfit: Reason | None = None
    """Why what was read can't be used, whatever the time; None where it can, or wasn't read."""


class Action(StrEnum):
    CREATE = "create"
    UPDATE = "update"
    KEEP = "keep"
    REFUSE = "refuse"
    NOTHING = "nothing"
    """The target is absent and stays so, though a route asks for it."""
    DELETE = "delete"
    """Only where the cluster is pruned; see tasks/plan/prune.py."""


WRITES = frozenset({Action.CREATE, Action.UPDATE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Change(Row):
    """One row of a plan: what is to become of one Secret on one target."""

    action: Action
    reason: Reason
    target: SecretRef
    certificate: str
    """Name of the source Secret."""
    old: Version | None = None
    new: Version | None = None
    detail: str = ""
    uid: str | None = None
    """With resource_version: the object that an update may change, and in which state."""
    resource_version: str | None = None
    extra_keys: tuple[str, ...] = ()
    """Keys of `data` that an update takes off, by a patch: an apply would leave what others added."""
    extra_annotations: tuple[str, ...] = ()
    """Annotations that end when a Secret is taken over."""
    absence: OrphanRecord | None = None
    """Of a copy that nothing on OPS feeds any more, or that bears the marks of such a time."""
    applied: bool = False

    @property
    def writes(self) -> bool:
        return self.action in WRITES

    @property
    def acts(self) -> bool:
        """Whether the row changes anything on the target: it writes, or deletes."""
        return self.writes or self.action is Action.DELETE

    @property
    def failed(self) -> bool:
        """True where a certificate was wanted here and this row says that it can't be had."""
        return self.action is Action.REFUSE or (not self.writes and self.reason not in QUIET)

    @property
    def effective_version(self) -> Version | None:
        """What our copy holds now; None where there is none, or where the Secret is not ours."""
        if self.action is Action.REFUSE and self.reason in NOT_OURS:
            return None
        if self.action is Action.DELETE and self.applied:
            return None
        return self.new if self.applied else self.old


class Plan(Model):
    """What is to be done in one cluster; sorted, so that the same facts give the same plan."""

    cluster: str
    changes: tuple[Change, ...] = ()

    @property
    def writes(self) -> tuple[Change, ...]:
        return tuple(change for change in self.changes if change.writes)


class ClusterReport(Model):
    """What really happened in one cluster."""

    cluster: str
    dry_run: bool = False
    changes: tuple[Change, ...] = ()
    failures: tuple[Failure, ...] = ()
    warnings: tuple[str, ...] = ()
    credential_ends: datetime | None = None
    """When the credential for this cluster ends, where that is known."""
    requests: "tuple[Requests, ...]" = ()
    """What the task asked API servers, where another process did it; see orchestration/remote_tasks.py."""

    @property
    def ok(self) -> bool:
        return not self.failures and not any(change.failed for change in self.changes)

    @property
    def transient(self) -> bool:
        """True where trying again may help."""
        return any(failure.transient for failure in self.failures)

    @property
    def counts(self) -> dict[Action, int]:
        """Rows per action; of those that change anything, in a real run, only what took place.

        Goes through all rows: who needs more than one of them asks once.
        """
        return Counter(
            change.action for change in self.changes if self.dry_run or change.applied or not change.acts
        )


class Requests(Model):
    """How many requests to API servers had the same outcome."""

    verb: str
    code: str
    """The HTTP status, or `none` where no answer began."""
    count: int


class RunReport(Model):
    """One run: what OPS holds, and what became of it in each selected cluster."""

    snapshot: SourceSnapshot
    clusters: tuple[ClusterReport, ...] = ()
    suspended: tuple[str, ...] = ()
    now: datetime
    parameters: RunParameters = RunParameters()
    members: tuple[str, ...] = ()
    """Every cluster of the group that the run is for."""
    pending: tuple[str, ...] = ()
    """Clusters that are still at work: reports of their own will follow."""
    owner: str = ""
    configured: tuple[str, ...] = ()
    """Every cluster of the configuration, selected or not."""
    began: datetime | None = None
    requests: tuple[Requests, ...] = ()

    @property
    def covers_everything(self) -> bool:
        """For all clusters and certificates, and OPS could be read."""
        served = {cluster.cluster for cluster in self.clusters} | {*self.suspended}
        narrowed = self.parameters.group or self.parameters.certificate or self.snapshot.failure
        return not narrowed and served >= {*self.configured}
