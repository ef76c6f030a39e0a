"""Reports count what is unfit on OPS and routed nowhere, and do not list it. Pure.

For example, a CA's root lies beside the leaves that it signs, and nobody wants it copied.
"""

from collections.abc import Callable, Iterable

from tasks.config.schema import Cluster, SyncConfig
from tasks.domain.models import SourceSnapshot
from tasks.domain.patterns import PatternIndex


def routed_by(clusters: Iterable[Cluster]) -> Callable[[str], bool]:
    """Return a function that tells whether a route of any of these clusters names a Secret of OPS."""
    routes = (route for cluster in clusters for route in cluster.routes)
    patterns = PatternIndex(pattern for route in routes for pattern in route.certificates)
    return lambda name: bool(patterns.overlapping(name))


def concerned_by(clusters: Iterable[Cluster]) -> Callable[[str], bool]:
    """Return a function that also says yes of a Secret that a Certificate may ask for (selfService)."""
    routes = [route for cluster in clusters for route in cluster.routes]
    patterns = PatternIndex(pattern for one in routes for pattern in (*one.certificates, *one.concerned))
    return lambda name: bool(patterns.overlapping(name))


def without_unrouted(snapshot: SourceSnapshot, config: SyncConfig) -> SourceSnapshot:
    """The snapshot as a report lists it; in a run for one cluster, too, the routes of all clusters count."""
    is_routed = routed_by(config.clusters)
    rejections = tuple(one for one in snapshot.rejections if is_routed(one.ref.name))
    issuances = tuple(one for one in snapshot.issuances if is_routed(one.ref.name))
    return snapshot.changed(
        rejections=rejections,
        issuances=issuances,
        unrouted_rejections=len(snapshot.rejections) - len(rejections),
        unrouted_issuances=len(snapshot.issuances) - len(issuances),
    )
