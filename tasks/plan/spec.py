"""What one cluster is to get. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from tasks.config.schema import Cluster, SyncConfig
from tasks.domain.models import Owner, SourceSnapshot


@dataclass(frozen=True)
class SyncSpec:
    config: SyncConfig
    cluster: Cluster
    inventory: SourceSnapshot
    dry_run: bool = False
    certificate: str | None = None
    """The only certificate to look at."""
    asked: bool = True
    """A person asked for it by name, so that its absence is a failure."""
    until: datetime | None = None
    """When the run is to end."""
    urgent_only: bool = False
    """Write only what can't wait: a wave before this cluster's went badly, or somebody asked for that."""
    held_by: str = ""
    """How that wave went, for the report."""

    @property
    def digest(self) -> str:
        """Of all that decides what is to be written: another configuration makes another order."""
        config = (self.config.owner, self.config.source.model_dump_json(), self.cluster.model_dump_json())
        told = (
            *config,
            self.inventory.digest,
            str(self.dry_run),
            str(self.certificate),
            str(self.urgent_only),
        )
        return sha256("\n".join(told).encode()).hexdigest()

    @property
    def owner(self) -> Owner:
        """On whose behalf the cluster is written to."""
        former = frozenset(self.config.source.former_cluster_ids)
        return Owner(name=self.config.owner, cluster_id=self.inventory.cluster_id, former=former)

    @property
    def asked_for(self) -> str | None:
        """The certificate that a person named."""
        return self.certificate if self.asked else None

    @property
    def namespaces(self) -> tuple[str, ...]:
        return self.cluster.namespaces_of(self.certificate)


def specs_for(  # noqa: PLR0913  all that a run was asked for
    config: SyncConfig,
    clusters: Iterable[Cluster],
    inventory: SourceSnapshot,
    *,
    dry_run: bool,
    certificate: str | None,
    asked: bool = True,
    until: datetime | None = None,
    urgent_only: bool = False,
) -> tuple[SyncSpec, ...]:
    """One order per cluster; none where OPS could not be read, since then nothing is known."""
    if inventory.failure:
        return ()
    return tuple(
        SyncSpec(config, cluster, inventory, dry_run, certificate, asked, until, urgent_only)
        for cluster in clusters
    )
