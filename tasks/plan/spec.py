"""What one cluster is to get. Pure, but for the memory that the specs of a run share."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from threading import Lock
from typing import NamedTuple

from tasks.config.schema import Cluster, SyncConfig
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import Change, ListedSecret, Owner, ReadEntry, SourceSnapshot
from tasks.domain.parameters import RunParameters
from tasks.plan.note import Rules
from tasks.runtime.gathering import Gathering

EVERYTHING = RunParameters()
"""The parameters of a scheduled run."""


class KnownEntry(NamedTuple):
    """Facts of a Secret on OPS, never a key."""

    listed: ListedSecret
    """Its metadata, as it was listed before."""
    entry: ReadEntry | None
    """None if it was gone."""
    at: float
    """When it was read: a value of time.monotonic()."""


@dataclass
class RunMemory:
    """What the tasks of one run have found so far. Threads share it.

    Each Dask worker has its own, as long as the run has tasks there.
    """

    cluster_ids: dict[str, str] = field(default_factory=dict)
    """Cluster of the configuration -> uid of the namespace kube-system that was found there."""
    written: dict[str, tuple[Change, ...]] = field(default_factory=dict)
    """Cluster -> what earlier attempts of its task wrote."""
    entries: dict[str, KnownEntry] = field(default_factory=dict)
    """Secret on OPS -> what reading its data found."""
    reading: Lock = field(default_factory=Lock)
    """Held while `entries` grows, so that a Secret is read once for all clusters."""
    gathering: Gathering = field(default_factory=Gathering)
    """Where clusters meet that are about to write, so that they share a list of OPS's data."""

    def __reduce__(self) -> tuple[type["RunMemory"], tuple[()]]:
        """In another process there is no memory yet."""
        return RunMemory, ()


@dataclass(frozen=True)
class SyncSpec:
    """One cluster, what OPS holds, and what the run is asked for."""

    config: SyncConfig
    cluster: Cluster
    snapshot: SourceSnapshot
    parameters: RunParameters = EVERYTHING
    explicit: bool = True
    """A person named the certificate, so that its absence is a failure."""
    run_deadline: datetime | None = None
    hold_reason: str = ""
    """How an earlier wave went, where this one writes only what is urgent; empty where it may write all."""
    hold_code: FailureCode = FailureCode.HELD_BACK
    """The code of the failure that tells it."""
    looks_first: bool = False
    """Before more than urgent copies are written, the run looks at what the waves before serve."""
    memory: RunMemory = field(default_factory=RunMemory, compare=False, repr=False)

    @property
    def dry_run(self) -> bool:
        return self.parameters.dry_run

    @property
    def certificate(self) -> str | None:
        """The only certificate to look at."""
        return self.parameters.certificate

    @property
    def urgent_only(self) -> bool:
        return self.parameters.urgent_only or bool(self.hold_reason) or self.looks_first

    @property
    def digest(self) -> str:
        """SHA-256 over all that decides what is to be written, in hexadecimal."""
        deciding = (
            self.config.owner,
            self.config.source.model_dump_json(),
            self.cluster.model_dump_json(serialize_as_any=True),  # with the limits of granted routes
            self.snapshot.digest,
            str(self.dry_run),
            str(self.certificate),
            str(self.urgent_only),
            str(self.looks_first),
        )
        return sha256("\n".join(deciding).encode()).hexdigest()

    @property
    def owner(self) -> Owner:
        """On whose behalf the cluster is written to."""
        former = frozenset(self.config.source.former_cluster_ids)
        return Owner(name=self.config.owner, cluster_id=self.snapshot.cluster_id, former=former)

    @property
    def rules(self) -> Rules:
        return Rules.of(self.cluster, self.config.source)

    @property
    def explicit_certificate(self) -> str | None:
        """The certificate that a person named."""
        return self.certificate if self.explicit else None

    @property
    def namespaces(self) -> tuple[str, ...]:
        """The namespaces to look at."""
        return self.cluster.observed_namespaces(self.certificate)


def specs_for(  # noqa: PLR0913  all that the clusters of a run have in common
    config: SyncConfig,
    clusters: Iterable[Cluster],
    snapshot: SourceSnapshot,
    parameters: RunParameters,
    *,
    explicit: bool = True,
    run_deadline: datetime | None = None,
    memory: RunMemory | None = None,
) -> tuple[SyncSpec, ...]:
    """One spec per cluster; none where OPS could not be read, since then nothing is known."""
    if snapshot.failure:
        return ()
    shared = memory or RunMemory()
    return tuple(
        SyncSpec(config, one, snapshot, parameters, explicit, run_deadline, memory=shared) for one in clusters
    )
