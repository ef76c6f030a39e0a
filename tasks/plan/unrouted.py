"""Reports count what is unfit on OPS and routed nowhere, and do not list it. Pure.

For example, a CA's root lies beside the leaves that it signs, and nobody wants it copied.
"""

from collections.abc import Callable

from tasks.config.schema import SyncConfig
from tasks.domain.models import SourceSnapshot
from tasks.domain.names import is_glob, matches


def routed_by(config: SyncConfig) -> Callable[[str], bool]:
    """Return a function that tells whether a route of any cluster names a Secret of OPS."""
    routes = (route for cluster in config.clusters for route in cluster.routes)
    patterns = {pattern for route in routes for pattern in route.certificates}
    globs = {pattern for pattern in patterns if is_glob(pattern)}
    return lambda name: name in patterns or any(matches(glob, name) for glob in globs)


def without_unrouted(snapshot: SourceSnapshot, config: SyncConfig) -> SourceSnapshot:
    """The snapshot as a report lists it; in a run for one cluster, too, the routes of all clusters count."""
    is_routed = routed_by(config)
    rejections = tuple(one for one in snapshot.rejections if is_routed(one.ref.name))
    issuances = tuple(one for one in snapshot.issuances if is_routed(one.ref.name))
    return snapshot.changed(
        rejections=rejections,
        issuances=issuances,
        unrouted_rejections=len(snapshot.rejections) - len(rejections),
        unrouted_issuances=len(snapshot.issuances) - len(issuances),
    )
