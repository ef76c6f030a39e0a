"""The Prometheus samples of an inventory: what addresses served. Pure."""

from tasks.config.schema import SyncConfig
from tasks.domain.models import Served
from tasks.inventory.model import InventoryReport
from tasks.metrics.samples import Samples, max_copies, served_samples


def served_of(report: InventoryReport, config: SyncConfig) -> dict[str, Samples]:
    """Return the samples by cluster, of clusters that have addresses; none of an inventory without OPS."""
    found: dict[str, list[tuple[str, Served]]] = {}
    for copy in report.copies:
        if copy.served:
            found.setdefault(copy.cluster, []).extend((copy.certificate, one) for one in copy.served)
    most = max_copies(len(config.names))
    return {
        cluster: served_samples((config.owner, cluster), served, report.now, most)
        for cluster, served in found.items()
    }
