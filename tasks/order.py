"""What one cluster is to get. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from tasks.config import Cluster, SyncConfig
from tasks.models import Inventory


@dataclass(frozen=True)
class Order:
    config: SyncConfig
    cluster: Cluster
    inventory: Inventory
    dry_run: bool = False
    certificate: str | None = None
    """The only certificate to look at."""

    @property
    def namespaces(self) -> tuple[str, ...]:
        return self.cluster.namespaces_of(self.certificate)


def orders_for(
    config: SyncConfig,
    clusters: Iterable[Cluster],
    inventory: Inventory,
    *,
    dry_run: bool,
    certificate: str | None,
) -> tuple[Order, ...]:
    """One order per cluster; none where OPS could not be read, since then nothing is known."""
    if inventory.failure:
        return ()
    return tuple(Order(config, cluster, inventory, dry_run, certificate) for cluster in clusters)
