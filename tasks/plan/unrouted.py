"""What reports leave out of OPS's troubles: what no route of any cluster names is counted, not listed. Pure.

A CA's root lies beside the leaves that it signs, and nobody wants it sent.
"""

from tasks.config.schema import SyncConfig
from tasks.domain.models import SourceSnapshot
from tasks.domain.names import is_glob, matches


def routed(inventory: SourceSnapshot, config: SyncConfig) -> SourceSnapshot:
    """The inventory as a report lists it; also of one cluster, all routes of the configuration count."""
    routes = (route for cluster in config.clusters for route in cluster.routes)
    patterns = {pattern for route in routes for pattern in route.certificates}
    globs = {pattern for pattern in patterns if is_glob(pattern)}

    def is_routed(name: str) -> bool:
        return name in patterns or any(matches(glob, name) for glob in globs)

    rejections = tuple(one for one in inventory.rejections if is_routed(one.ref.name))
    issuances = tuple(one for one in inventory.issuances if is_routed(one.ref.name))
    return inventory.model_copy(
        update={
            "rejections": rejections,
            "issuances": issuances,
            "unrouted_rejections": len(inventory.rejections) - len(rejections),
            "unrouted_issuances": len(inventory.issuances) - len(issuances),
        }
    )
