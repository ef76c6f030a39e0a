"""Look-ups among routes find what a walk through all routes finds."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tasks.config.route_rules import _written_twice
from tasks.config.routes import RoutedCopy
from tasks.config.routing import Routing
from tasks.config.schema import Cluster
from tasks.domain import names
from tasks.domain.annotations import SOURCE
from tasks.domain.models import SecretRef
from tasks.domain.parameters import RunParameters
from tasks.domain.patterns import PatternIndex
from tasks.domain.reasons import Reason
from tasks.inventory.evaluate import probes_for
from tasks.plan.decide import make_plan
from tasks.plan.spec import specs_for
from tasks.served.compare import probe_for
from tests.support.factories import (
    NOW,
    OPS_ID,
    US,
    certificate,
    cluster,
    law,
    rejection,
    route,
    snapshot,
    target_secret,
    unpinned_clusters,
)

NAMES = ("a", "a-b", "b", "b-a", "a-a-b")
NAME, NAMESPACE = st.sampled_from(NAMES), st.sampled_from(["one", "two", "three"])
PATTERN = st.sampled_from([*NAMES, "*", "a*", "*b", "a*b", "*-*", "b-*", "*-a", "a-*-b", "x*", "*x"])
ROUTES = st.lists(
    st.builds(
        route,
        certificates=st.lists(PATTERN, min_size=1, max_size=4),
        namespaces=st.lists(NAMESPACE, min_size=1, max_size=3),
        name=st.none() | NAME,
    ),
    min_size=1,
    max_size=12,
)


@law
@given(routes=ROUTES, certificate=NAME, namespace=NAMESPACE)
def test_routing_agrees_with_a_walk_through_all_routes(
    routes: list[dict[str, Any]], certificate: str, namespace: str
) -> None:
    """The routes of a certificate to a namespace are those that send it and have that namespace."""
    addressed = [{**one, "served": [f"host-{number}"]} for number, one in enumerate(routes)]
    to = cluster(*addressed)
    expected = [one for one in to.routes if one.sends(certificate) and namespace in one.namespaces]
    assert {id(one) for one in Routing(to).routes(certificate, namespace)} == set(map(id, expected))
    addresses = sorted(address for one in expected for address in one.served)
    assert Routing(to).served_at(certificate, namespace) == tuple(addresses)


def copies_by_walk(to: Cluster, available: set[str], explicit: str | None) -> list[RoutedCopy]:
    sent = available | ({explicit} if explicit and to.routes_certificate(explicit) else set())
    return [
        RoutedCopy(
            target=SecretRef(namespace=namespace, name=one.name or name),
            certificate=name,
            literal=name in (pattern, explicit),
        )
        for one in to.routes
        for pattern in one.certificates
        for name in ([pattern] if "*" not in pattern else sent)
        if names.matches(pattern, name)
        for namespace in one.namespaces
    ]


@law
@given(routes=ROUTES, available=st.sets(NAME), explicit=st.none() | NAME)
def test_routed_copies_agree_with_a_walk_through_all_names(
    routes: list[dict[str, Any]], available: set[str], explicit: str | None
) -> None:
    """Each route has a copy of each name that a pattern of it matches, in each of its namespaces."""

    def key(one: RoutedCopy) -> tuple[str, ...]:
        return one.target.namespace, one.target.name, one.certificate, str(one.literal)

    to = cluster(*routes)
    found = to.routed_copies(PatternIndex(available), explicit)
    assert sorted(found, key=key) == sorted(copies_by_walk(to, available, explicit), key=key)


@law
@given(routes=ROUTES, sources=st.sets(NAME), copies=st.sets(st.tuples(NAMESPACE, NAME, NAME), max_size=8))
def test_leftovers_agree_with_the_copies_that_routes_would_have(
    routes: list[dict[str, Any]], sources: set[str], copies: set[tuple[str, str, str]]
) -> None:
    """Gone is a copy that some route would have if OPS had its certificate; others are no longer routed."""
    to, found = cluster(*routes), snapshot(*map(certificate, sorted(sources)), cluster_id=OPS_ID)
    there = {
        SecretRef(namespace=namespace, name=name): target_secret(
            certificate(source), namespace=namespace, name=name
        )
        for namespace, name, source in copies
    }
    wanted = {one.target for one in copies_by_walk(to, sources, None)}
    rows = make_plan(to, found, there.values(), owner=US, now=NOW).changes
    reasons = {row.target: row.reason for row in rows if row.target not in wanted}
    assert reasons.keys() == there.keys() - wanted
    for ref, reason in reasons.items():
        name = there[ref].annotations[SOURCE].rpartition("/")[2]
        routed = any(one.target == ref for one in copies_by_walk(to, {name}, None))
        assert (reason is Reason.GONE_FROM_SOURCE) is (routed and name not in sources)


@law
@given(routes=ROUTES, sources=st.sets(NAME), only=st.none() | NAME)
def test_probes_agree_with_a_walk_through_all_copies(
    routes: list[dict[str, Any]], sources: set[str], only: str | None
) -> None:
    """Each address of a route is probed for each certificate that the route sends."""
    to = cluster(*({**one, "served": [f"host-{number}"]} for number, one in enumerate(routes)))
    found = snapshot(*map(certificate, sorted(sources)), rejection("a-unfit"))
    config = unpinned_clusters("dev").model_copy(update={"clusters": (to,)})
    (spec,) = specs_for(config, [to], found, RunParameters(certificate=only))
    expected = {
        probe_for(address, one)
        for one in found.certificates
        for sent in to.routes
        if sent.sends(one.ref.name) and only in (None, one.ref.name)
        for address in sent.served
    }
    assert probes_for(spec) == expected


def written_twice(written: list[tuple[str, str]]) -> list[tuple[str, str, str]]:
    """Compare each pattern with all earlier ones: a name with the globs first, then with names."""
    found, earlier = [], dict[str, None]()
    for path, one in written:
        globs = [other for other in earlier if names.is_glob(other)]
        others = [*earlier] if names.is_glob(one) else [*globs, *([one] if one in earlier else [])]
        found += [(path, other, one) for other in others if names.overlap(other, one)]
        earlier[one] = None
    return found


@law
@given(patterns=st.lists(PATTERN, max_size=20))
def test_overlaps_agree_with_a_comparison_with_all_earlier_patterns(patterns: list[str]) -> None:
    """The same overlaps are found in the same order, so that the messages of a configuration are the same."""
    written = [(f"routes[{number}]", one) for number, one in enumerate(patterns)]
    found = [(path, other, one) for (path, one), (_, other) in _written_twice(written)]
    assert found == written_twice(written)
