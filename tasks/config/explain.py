"""Why a certificate is sent to a cluster, or is not: the routes, and what its Certificate asks for. Pure."""

from collections.abc import Iterable, Iterator

from tasks.config.routes import Route, RoutedCopy, SharedRoute, selects
from tasks.config.schema import Cluster, SyncConfig
from tasks.config.self_service import GrantedRoute
from tasks.domain.annotations import REQUEST
from tasks.domain.models import RefusedRequest
from tasks.domain.names import matches
from tasks.domain.text import join_limited


def explain(
    config: SyncConfig, cluster: str, certificate: str, refused: Iterable[RefusedRequest] = ()
) -> list[str]:
    """Return lines for people: the routes that send it, or the rule that keeps it away.

    With `selfService`, the configuration has what was granted, and `refused` is what was not. Raises
    ConfigError if the cluster is unknown.
    """
    (target,) = config.named(cluster)
    lines = [*_lines(config, target, certificate)]
    lines += [
        f"{one.reason}: {one.reason.sentence} ({one.detail})"
        for one in refused
        if one.ref.name == certificate
    ]
    return [f"{certificate} on {cluster}:", *(f"  {line}" for line in lines)]


def _lines(config: SyncConfig, cluster: Cluster, certificate: str) -> Iterator[str]:
    sending = [route for route in cluster.routes if route.sends(certificate)]
    for route in sending:
        targets = join_limited([_target(one) for one in route.copies_of(certificate)]) or "no namespace"
        if isinstance(route, GrantedRoute):
            yield from _granted(route, certificate, targets)
            continue
        if route.namespace_selector:
            targets = f"namespaces of {cluster.name} with the label {route.selector}, where it is bound"
        pattern = next(one for one in route.certificates if matches(one, certificate))
        yield f"{_path(config, cluster, route)} sends it, by {pattern!r}, to {targets}"
        yield from _beyond(route, certificate)
    if not sending:
        yield f"no route of {cluster.name} sends it, so it is not copied there"
        yield from _may_be_asked_for(cluster, certificate)
    for number, shared in enumerate(config.routes):
        if shared.sends(certificate) and not shared.selects(cluster.name, cluster.labels):
            yield f"routes[{number}] sends it, but not here: {_why_not(shared, cluster)}"
    if sending:
        yield _hostnames(cluster)
    if cluster.suspended:
        yield f"{cluster.name} is suspended: nothing is written there"


def _target(copy: RoutedCopy) -> str:
    return f"{copy.target} (refused: {copy.refusal.sentence})" if copy.refusal else str(copy.target)


def _beyond(route: Route, certificate: str) -> Iterator[str]:
    if not route.namespace_selector and (beyond := route.beyond_allowed(certificate)):
        yield f"not to {join_limited(beyond)}: the route's `allowedNamespaces` don't have it"


def _granted(route: GrantedRoute, certificate: str, targets: str) -> Iterator[str]:
    requester = route.requesters.get(certificate, certificate)
    limits = ", ".join(one.limit for one in route.grants)
    yield f"Certificate {requester} asks for it, and {limits} grants it, to {targets}"
    for one in route.grants:
        yield f"{one.limit} allows the DNS names {join_limited(one.hostnames)}"


def _may_be_asked_for(cluster: Cluster, certificate: str) -> Iterator[str]:
    for route in cluster.routes:
        if isinstance(route, GrantedRoute) and route.concerns(certificate):
            (limit,), namespaces = route.grants, join_limited(route.namespaces)
            annotation = f"{REQUEST}: {cluster.name}/{route.namespaces[0]}"
            yield f"{limit.limit} allows {namespaces}, if its Certificate asks for it ({annotation})"


def _path(config: SyncConfig, cluster: Cluster, route: Route) -> str:
    """Return where a route is in the file: among those of the cluster, or at the top level."""
    if isinstance(route, SharedRoute):
        return f"routes[{config.routes.index(route)}]"
    return (
        f"clusters[{config.names.index(cluster.name)}] ({cluster.name}).routes[{cluster.routes.index(route)}]"
    )


def _why_not(shared: SharedRoute, cluster: Cluster) -> str:
    if not selects(shared.clusters, {}, cluster.name, {}):
        return f"it is for clusters named {join_limited(shared.clusters)}"
    missing = [(key, value) for key, value in shared.labels.items() if cluster.labels.get(key) != value]
    wanted = join_limited([f"{key}={value}" for key, value in missing])
    has = join_limited([f"{key}={cluster.labels[key]}" for key, _ in missing if key in cluster.labels])
    return f"it is for clusters with {wanted}; {cluster.name} has {has or 'no such label'}"


def _hostnames(cluster: Cluster) -> str:
    if not cluster.hostnames:
        return f"{cluster.name} has no `hostnames`, so no certificate may be copied there"
    return f"its DNS names must be among {join_limited(cluster.hostnames)}"
