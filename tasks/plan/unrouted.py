"""Reports count what is unfit on OPS and routed nowhere, and do not list it. Pure.

For example, a CA's root lies beside the leaves that it signs, and nobody wants it copied.
"""

from tasks.config.schema import SyncConfig
from tasks.domain.models import SourceSnapshot
from tasks.domain.names import is_glob, matches


def without_unrouted(snapshot: SourceSnapshot, config: SyncConfig) -> SourceSnapshot:
    """The snapshot as a report lists it; in a run for one cluster, too, the routes of all clusters count."""
    routes = (route for cluster in config.clusters for route in cluster.routes)
    patterns = {pattern for route in routes for pattern in route.certificates}
    globs = {pattern for pattern in patterns if is_glob(pattern)}

    def is_routed(name: str) -> bool:
        return name in patterns or any(matches(glob, name) for glob in globs)

    rejections = tuple(one for one in snapshot.rejections if is_routed(one.ref.name))
    issuances = tuple(one for one in snapshot.issuances if is_routed(one.ref.name))
    return snapshot.changed(
        rejections=rejections,
        issuances=issuances,
        unrouted_rejections=len(snapshot.rejections) - len(rejections),
        unrouted_issuances=len(snapshot.issuances) - len(issuances),
    )
