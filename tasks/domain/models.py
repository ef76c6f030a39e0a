"""Frozen data types that may be logged, persisted and shown. None of them contains key material."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property, lru_cache
from hashlib import sha256
from typing import Annotated, ClassVar, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict

from tasks.domain.failure_codes import FailureCode
from tasks.domain.parameters import RunParameters
from tasks.domain.patterns import PatternIndex
from tasks.domain.reasons import NOT_OURS, QUIET, Reason

ISSUANCE_LATE_AFTER = timedelta(hours=1)
"""Time after which an issuance is late; with ACME it takes up to a minute."""
CONFIG = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
"""Configuration of every type. Validation errors never show the value, which could be key material."""


class Model(BaseModel):
    """Base of the types."""

    model_config = CONFIG


class Row:
    """Base of types with ten thousands of instances: slotted dataclasses, a fifth of a Model's size.

    Pydantic validates a Row only when it reads JSON; elsewhere mypy checks the types.
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
    """Identifies the content of a Secret, with its validity period."""

    fingerprint: str
    """Digest over all copied data, `v1:sha256:<hex>`; not the X.509 fingerprint."""
    not_before: datetime
    not_after: datetime

    def days_left(self, now: datetime) -> int:
        """Return the whole days until notAfter; negative once it has passed."""
        return (self.not_after - now) // timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateResource(Row):
    """An object of cert-manager's kind Certificate, to which Kubernetes Events can be attached."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FurtherKey(Row):
    """A key of a Secret on OPS that is copied only where a route names it."""

    name: str
    size: int = 0
    digest: str = ""
    """Over its value and the fingerprint of the certificate."""
    fault: Reason | None = None
    """Why it can't be sent with the certificate."""


class Certificate(Model):
    """The facts of a Secret on OPS that is fit to be sent."""

    ref: SecretRef
    uid: str
    resource_version: str
    written: str = ""
    """When the Secret was last written, as the API server says (RFC 3339)."""
    keys: tuple[str, ...]
    """The keys of `data` that are copied, sorted."""
    kept_keys: tuple[str, ...] = ()
    """The other keys, for example a keystore, sorted; most are never copied."""
    further: tuple[FurtherKey, ...] = ()
    """Those of them that are copied where a route names them, sorted."""
    size: int = 0
    """Bytes of the data under `keys`; only where there are further ones."""
    serial: str
    """Serial number in hexadecimal."""
    issuer: str
    dns_names: tuple[str, ...]
    other_names: tuple[str, ...] = ()
    """Subject alternative names of other kinds (IP, URI, e-mail), which no target accepts."""
    version: Version
    leaf: str = ""
    """X.509 fingerprint of the leaf: SHA-256 in hexadecimal."""
    renewal: datetime | None = None
    """When cert-manager renews it, if its Certificate says so."""
    resource: CertificateResource | None = None
    """cert-manager's Certificate that writes the Secret; None unless `source.events` is true."""
    checked_until: datetime | None = None
    """When the first certificate of tls.crt expires: from then on the checks may say something else."""
    warnings: tuple[str, ...] = ()
    """Findings that do not prevent the certificate from being sent."""
    checked: bool = True
    """False where neither this run nor an earlier one read its data: the facts are those of cert-manager."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedSecret(Row):
    """A Secret on OPS whose metadata was listed and whose data was not read."""

    ref: SecretRef
    uid: str
    resource_version: str
    written: str = ""
    """As in Certificate."""
    dns_names: tuple[str, ...] = ()
    """As cert-manager's annotation has them."""
    validity: tuple[datetime, datetime] | None = None
    """notBefore and notAfter, if cert-manager's Certificate says so."""
    renewal: datetime | None = None
    """As in Certificate."""
    certificates: tuple[str, ...] = ()
    """Names of the cert-manager Certificates that write it."""
    resource: CertificateResource | None = None
    """As in Certificate."""


class Rejection(Model):
    """A Secret on OPS that is not fit to be sent, and why."""

    ref: SecretRef
    reason: Reason
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuance(Row):
    """A certificate that cert-manager has not issued yet: its Certificate exists, but no fit Secret."""

    ref: SecretRef
    """The Secret, whether it exists or not."""
    certificate: str
    """Name of the Certificate."""
    since: datetime
    """Since when no fit Secret exists, according to the Certificate."""
    attempts: int = 0
    """Number of failed attempts."""
    held: Reason | None = None
    """Why the content of the Secret is not fit; None if there is no Secret."""

    def reason(self, now: datetime) -> Reason:
        is_late = self.attempts or now - self.since >= ISSUANCE_LATE_AFTER
        return Reason.ISSUANCE_LATE if is_late else Reason.ISSUANCE_PENDING

    @property
    def detail(self) -> str:
        parts = [f"Certificate {self.certificate}", f"since {self.since:%Y-%m-%d %H:%M} UTC"]
        parts += [f"failed attempts: {self.attempts}"] if self.attempts else []
        parts += [f"the Secret so far: {self.held}"] if self.held else []
        return ", ".join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyRequest(Row):
    """Where cert-manager's Certificates ask that a Secret be copied (annotation tls-sync.io/to)."""

    secret: str
    """Name of the Secret."""
    certificates: tuple[str, ...]
    """Names of all Certificates that write it."""
    asked: tuple[str, ...] = ()
    """`cluster/namespace`, each once."""
    fault: str = ""
    """What is wrong with the annotation; then nothing counts that it asks for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedRequest(Row):
    """What a Certificate asks for and does not get. It fails neither a run nor a wave."""

    ref: SecretRef
    """The Secret on OPS."""
    reason: Reason
    detail: str


class Failure(Model):
    """A failed operation at a cluster, described for the person on call."""

    code: FailureCode
    cluster: str
    what: str
    """The operation and its object: `list secrets in homarr-dev`."""
    detail: str = ""
    """Numbers and names only; never a server's text."""
    transient: bool = False

    @property
    def explanation(self) -> str:
        """The operation, and how it failed."""
        detail = f" ({self.detail})" if self.detail else ""
        return f"{self.what}: {self.code.sentence}{detail}"

    def __str__(self) -> str:
        return f"{self.code}: {self.explanation}"


ReadEntry = Certificate | Rejection | Issuance
"""What OPS has under one name, where its data was read if there is any."""
SourceEntry = ReadEntry | ListedSecret
"""What OPS has under one name."""


class SourceSnapshot(Model):
    """What OPS held when it was read."""

    certificates: tuple[Certificate, ...] = ()
    rejections: tuple[Rejection, ...] = ()
    issuances: tuple[Issuance, ...] = ()
    listed: tuple[ListedSecret, ...] = ()
    requests: tuple[CopyRequest, ...] = ()
    """What Certificates ask for; it counts only where the configuration has `selfService`."""
    requests_unread: bool = False
    """Whether the Certificates could not be read, so that it is unknown what they ask for."""
    refused_requests: tuple[RefusedRequest, ...] = ()
    unrouted_rejections: int = 0
    """Number of rejections left out of a report because no route of any cluster names them."""
    unrouted_issuances: int = 0
    warnings: tuple[str, ...] = ()
    cluster_id: str = ""
    """The uid of OPS's namespace kube-system."""
    credential_ends: datetime | None = None
    """When the credential for OPS expires, if known."""
    failure: Failure | None = None
    """Why OPS could not be read; then the snapshot is empty, and no cluster is changed."""

    @cached_property
    def digest(self) -> str:
        return sha256(self.model_dump_json().encode()).hexdigest()

    @property
    def all_warnings(self) -> tuple[str, ...]:
        """The warnings about OPS and about single certificates."""
        about = (f"{one.ref.name}: {text}" for one in self.certificates for text in one.warnings)
        return (*self.warnings, *about)

    @cached_property
    def by_name(self) -> Mapping[str, Certificate]:
        """The certificates by the name of their Secret; computed once for all clusters of a run."""
        return {one.ref.name: one for one in self.certificates}

    @cached_property
    def entries(self) -> "Mapping[str, SourceEntry]":
        """Everything in the snapshot by the name of the Secret; computed once, too."""
        others: tuple[SourceEntry, ...] = (*self.rejections, *self.issuances, *self.listed)
        return {**self.by_name, **{one.ref.name: one for one in others}}

    @cached_property
    def names(self) -> PatternIndex:
        """The names of everything in the snapshot, where globs are looked up; computed once, too."""
        return PatternIndex(self.entries)

    @property
    def size(self) -> int:
        """The number of Secrets on OPS."""
        awaited = sum(one.held is None for one in self.issuances)
        return len(self.entries) - awaited

    @property
    def fit(self) -> int:
        """The number of certificates that are fit to be sent, as a check or a note says."""
        return sum(one.checked for one in self.certificates)

    @property
    def unchecked(self) -> int:
        """The number of Secrets that nobody had to read."""
        return len(self.certificates) - self.fit + len(self.listed)

    def corrected(self, found: "Mapping[str, SourceEntry | None]") -> "SourceSnapshot":
        """Return a copy with the entries that a second reading found, by name; None for a deleted Secret."""
        known: dict[str, SourceEntry | None] = {**self.entries, **found}
        now = [known[name] for name in sorted(known)]
        return self.changed(
            certificates=tuple(one for one in now if isinstance(one, Certificate)),
            rejections=tuple(one for one in now if isinstance(one, Rejection)),
            issuances=tuple(one for one in now if isinstance(one, Issuance)),
            listed=tuple(one for one in now if isinstance(one, ListedSecret)),
        )

    def changed(self, **fields: object) -> "SourceSnapshot":
        """Return a copy with these fields, which works out its cached properties anew."""
        changed = self.model_copy(update=fields)
        for cached in changed.__dict__.keys() - type(self).model_fields:  # model_copy() copies these, too
            del changed.__dict__[cached]
        return changed


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner(Row):
    """On whose behalf copies are written; a copy with these values is ours."""

    name: str
    cluster_id: str
    """The uid of OPS's namespace kube-system."""
    former: frozenset[str] = frozenset()
    """The uids of OPS clusters that this one replaces."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrphanRecord(Row):
    """Annotations on a copy whose certificate is gone from OPS, or was gone in an earlier run."""

    since: datetime | None = None
    """When a run first found the certificate gone, or None."""
    seen: datetime | None = None
    """When a run last updated the annotations."""
    runs: int = 0
    """Number of runs that found the certificate gone."""
    source: str = ""
    """The Secret on OPS that the copy names as its source: `namespace/name`."""
    kept: str = ""
    """Why the copy is never deleted, or an empty text."""


class MetadataKeys(NamedTuple):
    """Keys of labels and annotations that routes give to the copies of a cluster."""

    labels: frozenset[str] = frozenset()
    annotations: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagedKeys(Row):
    """Who wrote a Secret on a target, according to managedFields."""

    ours: frozenset[str] | None = None
    """Keys of `data` in our Apply entry; empty between patch and apply, None without an entry of ours."""
    ours_metadata: frozenset[str] = frozenset()
    """Labels and annotations of tls-sync's own in our Apply entry."""
    ours_given: frozenset[str] = frozenset()
    """The others there, which a route gave: `labels/KEY` and `annotations/KEY`."""
    others: frozenset[str] = frozenset()
    """Keys of `data` that any other manager owns."""
    written: str = ""
    """Time of our Apply entry, as the API server writes it (RFC 3339)."""


@lru_cache(maxsize=2000)
def _mapping(items: tuple[tuple[str, str], ...]) -> dict[str, str]:
    return dict(items)


def _interned(texts: dict[str, str]) -> dict[str, str]:
    return _mapping(tuple(texts.items()))


_Interned = Annotated[dict[str, str], AfterValidator(_interned)]
"""Equal mappings are one object: the copies of a certificate have the same on all clusters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetSecret(Row):
    """A Secret on a target, as listed without its data."""

    ref: SecretRef
    uid: str
    resource_version: str
    type: str
    labels: _Interned = field(default_factory=dict)
    """Only the labels that decide ownership, and those that routes give."""
    annotations: _Interned = field(default_factory=dict)
    """Only our own and those that routes give: others may contain a key (last-applied-configuration)."""
    managed: ManagedKeys = ManagedKeys()
    immutable: bool = False
    terminating: bool = False
    managed_by: Reason | None = None
    """Which other tool manages the Secret according to its metadata, or UNREADABLE."""
    has_last_applied: bool = False
    """Whether it has kubectl's annotation last-applied-configuration, which contains the key."""
    read: Version | None = None
    """The version in its data, if the Secret was read."""
    was_read: bool = False
    keys: frozenset[str] = frozenset()
    """The names of all keys of its `data`, if it was read."""
    unfit: Reason | None = None
    """Why its data can't be used, regardless of the time; None if it can, or was not read."""


class Action(StrEnum):
    CREATE = "create"
    UPDATE = "update"
    KEEP = "keep"
    REFUSE = "refuse"
    NOTHING = "nothing"
    """The copy does not exist and is not created, although a route sends it."""
    DELETE = "delete"
    """Only in clusters with `prune: true`; see tasks/plan/prune.py."""


WRITES = frozenset({Action.CREATE, Action.UPDATE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Change(Row):
    """One row of a plan: the action for one Secret on one target."""

    action: Action
    reason: Reason
    target: SecretRef
    certificate: str
    """Name of the source Secret."""
    old: Version | None = None
    new: Version | None = None
    detail: str = ""
    uid: str | None = None
    """With resource_version, the object and the state of it that an update may change."""
    resource_version: str | None = None
    extra_keys: tuple[str, ...] = ()
    """Keys of `data` that an update removes by a patch, because an apply keeps what other managers added."""
    extra_annotations: tuple[str, ...] = ()
    """Annotations that an update removes."""
    absence: OrphanRecord | None = None
    """The record of a copy without a source on OPS, or with annotations from such a time."""
    applied: bool = False

    @property
    def key(self) -> tuple[SecretRef, str]:
        """What no other row of the cluster has: a refused request may name the target of another row."""
        return self.target, self.certificate

    @property
    def writes(self) -> bool:
        return self.action in WRITES

    @property
    def acts(self) -> bool:
        """Whether the row writes to the target or deletes from it."""
        return self.writes or self.action is Action.DELETE

    @property
    def failed(self) -> bool:
        """Whether the row means that a routed certificate could not be provided."""
        return self.action is Action.REFUSE or (not self.writes and self.reason not in QUIET)

    @property
    def effective_version(self) -> Version | None:
        """The version in our copy now; None if there is no copy, or if the Secret is not ours."""
        if self.action is Action.REFUSE and self.reason in NOT_OURS:
            return None
        if self.action is Action.DELETE and self.applied:
            return None
        return self.new if self.applied else self.old


class Plan(Model):
    """The actions for one cluster, sorted, so that the same facts give the same plan."""

    cluster: str
    changes: tuple[Change, ...] = ()
    unread: Mapping[SecretRef, str] = {}
    """Copies that can't be decided before their certificate was read; the plan lacks their rows."""

    @property
    def writes(self) -> tuple[Change, ...]:
        return tuple(change for change in self.changes if change.writes)


class ServedMatch(StrEnum):
    """How the certificate that an address serves compares with the stored one."""

    SAME = "same"
    OLDER = "older"
    OTHER = "other"
    NONE = "none"
    """The address served no certificate; `detail` says why."""
    NO_NAME = "not asked"
    """The certificate has no DNS name that the address could be asked for."""


class Served(Model):
    """What one address serves under one name."""

    address: str
    match: ServedMatch
    name: str = ""
    """The server name (SNI) of the request."""
    serial: str = ""
    not_after: datetime | None = None
    detail: str = ""

    @property
    def differs(self) -> bool:
        return self.match in (ServedMatch.OLDER, ServedMatch.OTHER)


class ServedCopy(Model):
    """An address that is to present the certificate of a copy, and what it presents once a run has looked."""

    address: str
    name: str
    """The server name (SNI) to ask for; empty if the certificate has none to ask for."""
    target: SecretRef
    certificate: str
    """Name of the source Secret."""
    leaf: str = ""
    """X.509 fingerprint of the copy's leaf, where its data was read."""
    serial: str = ""
    """Serial number of the copy's leaf."""
    not_before: datetime
    since: datetime | None = None
    """Since when the copy has this certificate."""
    served: Served | None = None
    """What the address presented last; None if nobody has looked."""

    @property
    def matches(self) -> bool:
        return self.served is not None and self.served.match is ServedMatch.SAME


class ClusterReport(Model):
    """What happened in one cluster."""

    cluster: str
    dry_run: bool = False
    changes: tuple[Change, ...] = ()
    failures: tuple[Failure, ...] = ()
    warnings: tuple[str, ...] = ()
    credential_ends: datetime | None = None
    """When the credential for this cluster expires, if known."""
    requests: "tuple[Requests, ...]" = ()
    """Requests to API servers by a task in another process; see orchestration/remote_tasks.py."""
    source: SourceSnapshot | None = None
    """What was read on OPS for this cluster and is not fit to be sent."""
    selected: Mapping[str, tuple[str, ...]] = {}
    """The namespaces that have the labels of a route's namespaceSelector and could be listed, by selector."""
    served: tuple[ServedCopy, ...] = ()
    """The addresses that are to present its copies, where later waves wait for them."""
    waiting: int = 0
    """Number of writes that wait until the run has looked at what the waves before serve."""
    lacks: Failure | None = None
    """What a discovered cluster lacks to be served. It is no failure, or whoever may announce clusters could
    make each run Failed."""

    @property
    def ok(self) -> bool:
        return not self.failures and not any(change.failed for change in self.changes)

    @property
    def transient(self) -> bool:
        """Whether another attempt may succeed."""
        return any(failure.transient for failure in self.failures)

    @property
    def counts(self) -> dict[Action, int]:
        """Return the number of rows per action; in a real run, writes and deletions count only if applied.

        This iterates over all rows: call it once and use the result for several actions.
        """
        return Counter(
            change.action for change in self.changes if self.dry_run or change.applied or not change.acts
        )


def without_lacking(
    reports: Iterable[ClusterReport],
) -> tuple[tuple[ClusterReport, ...], tuple[Failure, ...]]:
    """Return the reports of clusters that could be served, and what the others lack."""
    reports = tuple(reports)
    return tuple(one for one in reports if not one.lacks), tuple(one.lacks for one in reports if one.lacks)


class Requests(Model):
    """Number of requests to API servers with the same verb and status."""

    verb: str
    code: str
    """The HTTP status, or `none` without a response."""
    count: int


class Discovery(Model):
    """What is known of clusters that announce themselves on OPS, beside those that are served."""

    is_configured: bool = False
    """Whether the configuration has `discover`."""
    failure: Failure | None = None
    """Why nobody knows which clusters are announced; then the configured ones are served."""
    unserved: tuple[Failure, ...] = ()
    """What clusters lack, and those that are gone."""
    unrouted: tuple[str, ...] = ()
    """Clusters that no route is for."""
    announced: tuple[str, ...] = ()
    """All, served or not, without those that have an entry in the configuration."""

    def with_unserved(self, more: Iterable[Failure]) -> "Discovery":
        return self.model_copy(update={"unserved": (*self.unserved, *more)})


class RunReport(Model):
    """One run: the snapshot of OPS, and the report of each selected cluster."""

    snapshot: SourceSnapshot
    clusters: tuple[ClusterReport, ...] = ()
    suspended: tuple[str, ...] = ()
    now: datetime
    parameters: RunParameters = RunParameters()
    members: tuple[str, ...] = ()
    """Every cluster of the group that the run is for."""
    pending: tuple[str, ...] = ()
    """Clusters that are not finished; their own reports will follow."""
    owner: str = ""
    configured: tuple[str, ...] = ()
    """All clusters of the configuration, selected or not."""
    began: datetime | None = None
    requests: tuple[Requests, ...] = ()
    discovery: Discovery = Discovery()

    @property
    def covers_everything(self) -> bool:
        """Whether the run was for all clusters and certificates, and OPS could be read."""
        served = {cluster.cluster for cluster in self.clusters} | {*self.suspended}
        served |= {one.cluster for one in self.discovery.unserved}
        narrowed = self.parameters.group or self.parameters.certificate or self.snapshot.failure
        narrowed = narrowed or self.discovery.failure
        return not narrowed and served >= {*self.configured}
