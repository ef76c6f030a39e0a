"""What one cluster may get, for many questions in a row: none of them goes through all routes. Pure."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from tasks.config.routes import Route
from tasks.config.schema import Cluster
from tasks.domain.models import SecretRef
from tasks.domain.names import HostnamePatterns, matches
from tasks.domain.patterns import PatternIndex

RoutesByNamespace = Mapping[str, Sequence[Route]]


class Routing:
    """The routes and hostnames of a cluster.

    It takes as much memory as the routes, so it is made where it is needed, and not kept with the cluster.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.hostnames = HostnamePatterns(cluster.hostnames)
        found: dict[str, list[RoutesByNamespace]] = defaultdict(list)
        for route in cluster.routes:
            to_namespaces = dict.fromkeys(route.possible_namespaces, (route,))
            for pattern in route.certificates:
                found[pattern].append(to_namespaces)
        self._routes = {pattern: _merged(several) for pattern, several in found.items()}
        self._patterns = PatternIndex(self._routes)

    def routes(self, certificate: str, namespace: str) -> list[Route]:
        """Return the routes that send a certificate to a namespace."""
        # A plan is made and checked with the same index: so what it finds is compared once more.
        patterns = (one for one in self._patterns.overlapping(certificate) if matches(one, certificate))
        found = (route for pattern in patterns for route in self._routes[pattern].get(namespace, ()))
        return [route for route in found if _goes_to(route, certificate, namespace)]

    def routes_to(self, certificate: str, target: SecretRef) -> list[Route]:
        """Return the routes that write a certificate under this name; those of the configuration first."""
        routes = self.routes(certificate, target.namespace)
        found = [route for route in routes if _writes(route, certificate, target)]
        return sorted(found, key=lambda route: bool(route.granted_by))

    def leads_to(self, certificate: str, target: SecretRef) -> bool:
        """Return whether a route writes a certificate under this name."""
        return bool(self.routes_to(certificate, target))

    def keys_to(self, certificate: str, target: SecretRef) -> frozenset[str]:
        """Return the further keys that a route sends there with the certificate."""
        return next((route.further_keys for route in self.routes_to(certificate, target)), frozenset())

    def served_at(self, certificate: str, namespace: str) -> tuple[str, ...]:
        """Return the addresses at which a certificate of this namespace is served, sorted."""
        return tuple(sorted({one for route in self.routes(certificate, namespace) for one in route.served}))


def _goes_to(route: Route, certificate: str, namespace: str) -> bool:
    """Return whether a route that may write in this namespace does it for this certificate."""
    return not route.has_placeholders or any(
        one.target.namespace == namespace for one in route.copies_of(certificate) if not one.refusal
    )


def _writes(route: Route, certificate: str, target: SecretRef) -> bool:
    """Return whether a route that goes to this namespace gives the copy this name there."""
    if not route.has_placeholders:
        return (route.name or certificate) == target.name
    return any(one.target == target and not one.refusal for one in route.copies_of(certificate))


def _merged(several: Sequence[RoutesByNamespace]) -> RoutesByNamespace:
    """Return the routes of one pattern; those of a single route are shared by all its patterns."""
    if len(several) == 1:
        return several[0]
    merged: dict[str, list[Route]] = defaultdict(list)
    for one in several:
        for namespace, routes in one.items():
            merged[namespace] += routes
    return merged
