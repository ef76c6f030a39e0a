"""Makes routes of what Certificates ask for, within the limits of `selfService`. Pure.

The rest of tls-sync knows routes only: what is granted is planned, checked, written and reported like the
copies of a configured route. A request that nothing grants is told, and fails nothing.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cached_property

from tasks.config.routing import Routing
from tasks.config.schema import Cluster, SyncConfig
from tasks.config.self_service import GrantedRoute, limit_path
from tasks.domain.models import CopyRequest, RefusedRequest, SecretRef, SourceSnapshot
from tasks.domain.patterns import PatternIndex
from tasks.domain.reasons import Reason

MAX_NAMED = 5
"""Maximum number of places that a refusal names, and of reasons that it has."""
UNKNOWN = "what Certificates ask for (selfService) is not known, so copies that they ask for are not updated"


def granted(config: SyncConfig, snapshot: SourceSnapshot) -> tuple[SyncConfig, SourceSnapshot]:
    """Return the configuration with a route for each request that a limit covers, and what was refused.

    The costs grow with the number of requests, not with that of requests times limits or clusters.
    """
    if not config.self_service or snapshot.failure:
        return config, snapshot
    granting = _Granting(config, snapshot)
    refused = [row for request in snapshot.requests for row in granting.refusals(request)]
    others = tuple(one for one in snapshot.warnings if one != UNKNOWN)
    changes: dict[str, object] = {
        "refused_requests": tuple(refused),
        "warnings": (*others, UNKNOWN) if snapshot.requests_unread else others,
    }
    same = all(getattr(snapshot, name) == value for name, value in changes.items())
    clusters = tuple(map(granting.with_routes, config.clusters))
    granted_config = config.model_copy(update={"clusters": clusters})
    return granted_config, snapshot if same else snapshot.changed(**changes)


def without_requests(snapshot: SourceSnapshot) -> SourceSnapshot:
    """Return the snapshot without what was granted or refused already: no cluster needs it."""
    return snapshot.changed(requests=()) if snapshot.requests else snapshot


def without_granted(cluster: Cluster) -> Cluster:
    """Return the cluster with the routes that the configuration has, and no others."""
    kept = tuple(one for one in cluster.routes if not (isinstance(one, GrantedRoute) and one.certificates))
    return cluster if len(kept) == len(cluster.routes) else cluster.model_copy(update={"routes": kept})


class _Granting:
    """The limits, and the clusters of which something was asked for."""

    def __init__(self, config: SyncConfig, snapshot: SourceSnapshot) -> None:
        self._source, self._names = config.source.namespace, snapshot.names
        self._clusters = {one.name: one for one in config.clusters}
        self._targets: dict[str, _Target] = {}
        by_pattern: dict[str, list[int]] = defaultdict(list)
        for index, limit in enumerate(config.self_service):
            for pattern in limit.certificates:
                by_pattern[pattern].append(index)
        self._by_pattern, self._patterns = by_pattern, PatternIndex(by_pattern)

    def with_routes(self, cluster: Cluster) -> Cluster:
        """Return the cluster with its granted routes; one of which nothing was asked for as it is."""
        target, configured = self._targets.get(cluster.name), without_granted(cluster)
        if not (target and target.granted):
            return configured
        return configured.model_copy(update={"routes": (*configured.routes, *target.routes())})

    def refusals(self, request: CopyRequest) -> Iterator[RefusedRequest]:
        """Grant what may be granted of a request; yield a row for each reason to refuse a part of it."""
        if len(request.certificates) > 1:
            others = "write the same Secret, and what they ask for is not done"
            yield self._row(request, Reason.REQUEST_CONFLICT, others)
        elif request.fault:
            yield self._row(request, Reason.REQUEST_INVALID, request.fault)
        else:
            yield from self._partly_refused(request)

    def _partly_refused(self, request: CopyRequest) -> Iterator[RefusedRequest]:
        found = {
            index for one in self._patterns.overlapping(request.secret) for index in self._by_pattern[one]
        }
        limits, refused = sorted(found), defaultdict[Reason, dict[str, list[str]]](dict)
        for place in request.asked:
            if problem := self._problem(request, place, limits):
                reason, why = problem
                refused[reason].setdefault(why, []).append(place)
        for reason, places_by_why in refused.items():
            texts = [f"{_some(places)}: {why}" for why, places in places_by_why.items()]
            yield self._row(request, reason, _some(texts, "; "))

    def _problem(self, request: CopyRequest, place: str, limits: list[int]) -> tuple[Reason, str] | None:
        """Grant one place, or return why not."""
        name, _, namespace = place.partition("/")
        if (cluster := self._clusters.get(name)) is None:
            return Reason.REQUEST_BEYOND_LIMITS, "the configuration has no such cluster"
        if name not in self._targets:
            self._targets[name] = _Target(without_granted(cluster), self._names)
        target = self._targets[name]
        if target.is_sent(request.secret, namespace):
            return None
        here = [index for index in limits if index in target.limits]
        covering = tuple(index for index in here if namespace in target.limits[index].allowed)
        if covering:
            return target.grant(request, namespace, covering)
        if not limits:
            return Reason.REQUEST_BEYOND_LIMITS, f"no limit of selfService is for Secret {request.secret}"
        what = "this namespace" if here else "this cluster"
        paths = _some([limit_path(index) for index in here or limits])
        return Reason.REQUEST_BEYOND_LIMITS, f"{what} is not allowed by {paths}"

    def _row(self, request: CopyRequest, reason: Reason, detail: str) -> RefusedRequest:
        who = f"Certificate{'s' if len(request.certificates) > 1 else ''} {_some(request.certificates)}"
        ref = SecretRef(namespace=self._source, name=request.secret)
        between = ": " if len(request.certificates) == 1 else " "
        return RefusedRequest(ref=ref, reason=reason, detail=f"{who}{between}{detail}")


class _Target:
    """A cluster of which something was asked for."""

    def __init__(self, cluster: Cluster, names: PatternIndex) -> None:
        self._cluster, self._names = cluster, names
        self.limits = {
            one.index: one for one in cluster.routes if isinstance(one, GrantedRoute) and one.limit
        }
        """The limits that are for it."""
        self.granted: dict[tuple[str, tuple[int, ...]], dict[str, str]] = defaultdict(dict)
        """Namespace and limits -> Secret -> the Certificate that asks for it."""

    @cached_property
    def _routing(self) -> Routing:
        return Routing(self._cluster)

    @cached_property
    def _renamed(self) -> Mapping[SecretRef, set[str]]:
        """What configured routes write under a name of their own, and the certificates that they send there.

        Every other route writes a Secret under its own name, so it can't send another certificate there.
        """
        found: dict[SecretRef, set[str]] = defaultdict(set)
        renaming = tuple(route for route in self._cluster.routes if route.name)
        for one in self._cluster.model_copy(update={"routes": renaming}).routed_copies(self._names):
            found[one.target].add(one.certificate)
        return found

    def is_sent(self, name: str, namespace: str) -> bool:
        """Return whether a configured route sends the copy already, or will once OPS has it."""
        return self._routing.leads_to(name, SecretRef(namespace=namespace, name=name))

    def grant(
        self, request: CopyRequest, namespace: str, limits: tuple[int, ...]
    ) -> tuple[Reason, str] | None:
        """Grant a copy; if a configured route sends another certificate there, return that."""
        target = SecretRef(namespace=namespace, name=request.secret)
        if others := self._renamed.get(target):
            sent = _some(sorted(others))
            return Reason.REQUEST_CONFLICT, f"a route sends {sent} there under this name"
        (self.granted[namespace, limits][request.secret],) = request.certificates
        return None

    def routes(self) -> Iterator[GrantedRoute]:
        for (namespace, limits), requesters in sorted(self.granted.items()):
            yield GrantedRoute(
                certificates=tuple(requesters),
                namespaces=(namespace,),
                grants=tuple(grant for index in limits for grant in self.limits[index].grants),
                requesters=requesters,
            )


def _some(texts: "list[str] | tuple[str, ...]", separator: str = ", ") -> str:
    more = f" and {len(texts) - MAX_NAMED} more" if len(texts) > MAX_NAMED else ""
    return separator.join(texts[:MAX_NAMED]) + more
