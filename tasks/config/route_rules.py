"""Rules between routes, and between clusters and what is for several of them. Pure.

They look at the raw document, so that an invalid value does not hide other faults.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from tasks.config.faults import MAX_FAULTS, MISSING, Fault, Located, list_of, texts_of
from tasks.config.routes import SharedRoute, selects
from tasks.config.single_routes import has_placeholders, single_faults
from tasks.domain import names
from tasks.domain.patterns import PatternIndex
from tasks.domain.text import join_limited


def route_faults(document: dict[str, Any], clusters: list[Located]) -> Iterator[Fault]:
    """Check single routes, then all that each cluster gets from its own and from the shared ones."""
    shared = list(_located("routes", list_of(document, "routes")))
    for path, route in shared:
        yield from single_faults(path, route)
    seen, told = set[tuple[int, ...]](), set[tuple[str, ...]]()
    for path, cluster in clusters:
        own = list(_located(f"{path}.routes", list_of(cluster, "routes")))
        for place, route in own:
            yield from single_faults(place, route)
        selected = tuple(index for index, (_, route) in enumerate(shared) if _is_for(route, cluster))
        if own or selected not in seen:  # clusters with the same shared routes and no others are alike
            routes = [*own, *(shared[index] for index in selected)]
            yield from _overlaps(routes, {place for place, _ in own}, path, told)
        seen.add(selected)


def _located(path: str, found: list[Any]) -> Iterator[Located]:
    yield from ((f"{path}[{index}]", one) for index, one in enumerate(found) if isinstance(one, dict))


def _is_for(shared: dict[str, Any], cluster: dict[str, Any]) -> bool:
    """Return whether a shared route or rule selects a cluster; invalid ones have faults of their own."""
    name, labels, wanted = cluster.get("name"), cluster.get("labels") or {}, shared.get("labels") or {}
    patterns = tuple(one for one in texts_of(shared, "clusters") if names.CLUSTER_GLOB.fullmatch(one))
    valid = isinstance(name, str) and isinstance(labels, dict) and isinstance(wanted, dict)
    return valid and bool(patterns or wanted) and selects(patterns, wanted, str(name), labels)


def _overlaps(
    routes: list[Located], own: set[str], cluster: str, told: set[tuple[str, ...]]
) -> Iterator[Fault]:
    """Two routes must not write the same Secret: each run would overwrite one with the other.

    Where a route has placeholders or a selector of namespaces, that shows only when it is planned.

    `own` are the paths of the cluster's routes. A collision of two shared ones is added to `told`, so that it
    is told for one cluster only.
    """
    targets: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for location, route in routes:
        if has_placeholders(route) or route.get("namespaceSelector"):
            continue
        renamed = route.get("name")
        written = [renamed] if isinstance(renamed, str) else texts_of(route, "certificates")
        for ns in filter(names.is_namespace, texts_of(route, "namespaces")):
            targets[ns] += [(location, one) for one in written if names.GLOB.fullmatch(one)]
    for ns, in_namespace in targets.items():
        for (later, one), (earlier, other) in islice(_written_twice(in_namespace), MAX_FAULTS):
            both = " and ".join(dict.fromkeys((other, one)))
            collision = later, earlier, ns, both
            if collision in told:
                continue
            if earlier not in own:
                told.add(collision)
            by = "" if later in own else f", on {cluster} by {earlier}"
            yield later, f"writes a Secret in {ns} that is written already{by} ({both}); keep one of them"


def shared_collision(routes: Iterable[tuple[int, SharedRoute]]) -> str:
    """Say which shared routes, by their numbers, would write one Secret; empty where none would."""
    located = [
        (f"routes[{number}]", route.model_dump(mode="json", by_alias=True)) for number, route in routes
    ]
    found = next(_overlaps(located, set(), "", set()), None)
    return f"{found[0]} {found[1].partition(';')[0].replace(', on  by ', ' by ')}" if found else ""


Written = tuple[str, str]
"""The path of a route, and the name or glob of what it writes."""


def _written_twice(written: list[Written]) -> Iterator[tuple[Written, Written]]:
    """Yield each pattern that overlaps an earlier one, and that one."""
    first: dict[str, int] = {}
    for position, (_, one) in enumerate(written):
        first.setdefault(one, position)
    index = PatternIndex(first)
    for position, (path, one) in enumerate(written):
        earlier = [other for other in index.overlapping(one) if first[other] < position]
        # In the order of the file, but a name that is written twice comes after the globs that match it.
        ordered = sorted((other == one and not names.is_glob(one), first[other], other) for other in earlier)
        yield from (((path, one), (written[place][0], other)) for _, place, other in ordered)


def shared_faults(document: dict[str, Any], clusters: list[Located]) -> Iterator[Fault]:
    """Routes, hostnames and limits are of a cluster, or of several that are named."""
    given = (cluster.get("name") for _, cluster in clusters)
    known = {one for one in given if isinstance(one, str) and names.is_namespace(one)}
    listed = join_limited(sorted(known))
    elsewhere = {"hostnames": {"hostnames"}, "routes": {"routes", "selfService"}, "selfService": set()}
    for key, others in elsewhere.items():
        for path, cluster in clusters if others else ():
            if cluster.get(key) is None and not (others & document.keys()):
                yield f"{path}.{key}", MISSING
        for path, one in _located(key, list_of(document, key)):
            if not (one.get("clusters") or one.get("labels")):
                yield path, 'is for no cluster; add `clusters` (["*"] for all), or `labels` that they have'
            for index, name in enumerate(list_of(one, "clusters")):
                unknown = isinstance(name, str) and names.is_namespace(name) and name not in known
                if unknown and document.get("discover") is None:  # else it may be announced
                    yield f"{path}.clusters[{index}]", f"no cluster has this name; known are: {listed}"
