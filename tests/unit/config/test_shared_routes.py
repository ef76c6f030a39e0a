"""Routes and hostnames at the top level of the configuration, for clusters by their name or labels."""

from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.config.explain import explain
from tasks.config.faults import MAX_FAULTS
from tasks.config.load import parse_config
from tasks.config.schema import Cluster, SyncConfig
from tasks.domain.errors import ConfigError
from tasks.fleet.groups import groups_by_wave
from tests.support.factories import law
from tests.support.steps import steps
from tests.unit.config.test_schema import JUNK, PROTECTED, Edit, faults, paths, replaced

OWN = {"certificates": ["own-tls"], "namespaces": ["own"]}
SHARED = {"certificates": ["web-*"], "namespaces": ["web"]}


def cluster(name: str, **values: Any) -> dict[str, Any]:
    return {"name": name, "context": f"c-{name}", **values}


def document(**values: Any) -> dict[str, Any]:
    """Three clusters: dev with routes of its own, two of env prd."""
    clusters = [
        cluster("dev", labels={"env": "dev"}, hostnames=["*.dev.example.org"], routes=[OWN]),
        cluster("prd-eu", labels={"env": "prd", "region": "eu"}),
        cluster("prd-us", labels={"env": "prd", "region": "us"}),
    ]
    return {
        "owner": "ops",
        "source": {"namespace": "certificates-ops"},
        "hostnames": [{"labels": {"env": "prd"}, "names": ["*.prd.example.org"]}],
        "routes": [{"labels": {"env": "prd"}, **SHARED}],
        "clusters": clusters,
        **values,
    }


def parsed(**values: Any) -> dict[str, Cluster]:
    return {one.name: one for one in parse_config(document(**values)).clusters}


def refusal(**values: Any) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        parse_config(document(**values))
    return [line.strip() for line in str(refused.value).splitlines()[1:]]


SELECTIONS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "a name": ({"clusters": ["prd-eu"]}, ["prd-eu"]),
    "a glob": ({"clusters": ["prd-*"]}, ["prd-eu", "prd-us"]),
    "all": ({"clusters": ["*"]}, ["dev", "prd-eu", "prd-us"]),
    "a label": ({"labels": {"env": "prd"}}, ["prd-eu", "prd-us"]),
    "two labels": ({"labels": {"env": "prd", "region": "us"}}, ["prd-us"]),
    "a label that none has": ({"labels": {"env": "lab"}}, []),
    "a glob and a label": ({"clusters": ["*-eu", "dev"], "labels": {"env": "prd"}}, ["prd-eu"]),
}


@pytest.mark.parametrize(("selection", "selected"), SELECTIONS.values(), ids=SELECTIONS)
def test_a_shared_route_is_for_the_clusters_that_it_selects(
    selection: dict[str, Any], selected: list[str]
) -> None:
    """By one of the names and all of the labels; no other cluster gets anything by it."""
    found = parsed(routes=[{**selection, **SHARED}])
    assert [name for name, one in found.items() if one.routes_certificate("web-a-tls")] == selected
    hosts = parsed(hostnames=[{**selection, "names": ["x.example.org"]}])
    assert [name for name, one in hosts.items() if "x.example.org" in one.hostnames] == selected


def test_a_cluster_gets_its_own_and_the_shared_ones() -> None:
    """The union of both; what is in the cluster's entry stays first."""
    shared = {"clusters": ["*"], **SHARED}
    rules = [{"clusters": ["*"], "names": ["*.example.org", "*.dev.example.org"]}]
    dev = parsed(routes=[shared], hostnames=rules)["dev"]
    assert [one.certificates for one in dev.routes] == [("own-tls",), ("web-*",)]
    assert dev.hostnames == ("*.dev.example.org", "*.example.org")
    assert dev.namespaces_of(None) == ("own", "web")


def test_without_hostnames_a_cluster_gets_nothing() -> None:
    """Where the top level has hostnames, a cluster that none of them is for has an empty list."""
    found = parsed(hostnames=[{"clusters": ["prd-eu"], "names": ["*.prd.example.org"]}])
    assert found["prd-us"].hostnames == ()
    assert found["prd-eu"].hostnames == ("*.prd.example.org",)


def test_files_without_the_new_keys_mean_the_same() -> None:
    """A cluster then must have hostnames and routes of its own, as ever."""
    lonely = document()
    del lonely["routes"], lonely["hostnames"]
    with pytest.raises(ConfigError) as refused:
        parse_config(lonely)
    faults = [line.strip() for line in str(refused.value).splitlines()[1:]]
    assert faults == [
        f"clusters[{position}] ({name}).{key}: is required; add it"
        for key in ("hostnames", "routes")
        for position, name in ((1, "prd-eu"), (2, "prd-us"))
    ]


DEV = "clusters[0] (dev)"
OWN_TWICE = "(own-tls and own-*); keep one of them"
TWICE = "writes a Secret in web that is written already"
FAULTS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "a route for no cluster": (
        {"routes": [SHARED]},
        ['routes[0]: is for no cluster; add `clusters` (["*"] for all), or `labels` that they have'],
    ),
    "a rule for no cluster": (
        {"hostnames": [{"names": ["*.example.org"]}]},
        ['hostnames[0]: is for no cluster; add `clusters` (["*"] for all), or `labels` that they have'],
    ),
    "a misspelt cluster": (
        {"routes": [{"clusters": ["dev", "prod-eu"], **SHARED}]},
        ["routes[0].clusters[1]: no cluster has this name; known are: dev, prd-eu, prd-us"],
    ),
    "a glob that is none": (
        {"routes": [{"clusters": ["PRD"], **SHARED}]},
        ["routes[0].clusters[0]: neither the name of a cluster nor a glob of names (only * is special)"],
    ),
    "a label that is none": (
        {"routes": [{"labels": {"env": "p r d"}, **SHARED}]},
        ["routes[0].labels: not a label and its value, as in `team: web`"],
    ),
    "two shared routes write one Secret": (
        {"routes": [{"labels": {"env": "prd"}, **SHARED}, {"clusters": ["*"], **SHARED}]},
        [f"routes[1]: {TWICE}, on clusters[1] (prd-eu) by routes[0] (web-*); keep one of them"],
    ),
    "a shared route and one of a cluster write one Secret": (
        {
            "routes": [
                {"clusters": ["dev"], "certificates": ["own-*"], "namespaces": ["own"]},
            ]
        },
        [
            f"routes[0]: {TWICE.replace('web', 'own')}, on {DEV} by {DEV}.routes[0] {OWN_TWICE}",
        ],
    ),
    "a shared route renames several": (
        {"routes": [{"clusters": ["*"], **SHARED, "name": "tls"}]},
        ["routes[0].name: goes with exactly one certificate, without a glob; split the route"],
    ),
    "a protected namespace": (
        {"routes": [{"clusters": ["*"], "certificates": ["a"], "namespaces": ["kube-system"]}]},
        [
            f"routes[0].namespaces[0]: {PROTECTED}",
        ],
    ),
    "a group that no run could be named after": (
        {"fleet": {"by": "region"}, "clusters": [cluster("dev", labels={"region": "EU"})]}
        | {"routes": [{"clusters": ["dev"], **SHARED}]},
        ["clusters[0] (dev).labels: the label of fleet.by names a group: a-z, 0-9 and -, at most 55"],
    ),
    "no label": ({"fleet": {"by": "a b"}}, ["fleet.by: not the key of a label, as in `region`"]),
}


@pytest.mark.parametrize(("values", "faults"), FAULTS.values(), ids=FAULTS)
def test_it_is_refused_with_the_path(values: dict[str, Any], faults: list[str]) -> None:
    """Each fault is told once, however many clusters it concerns, with both paths where two collide."""
    assert refusal(**values) == faults


def test_a_collision_is_told_once_where_clusters_have_routes_of_their_own() -> None:
    """Two shared routes that write one Secret are one fault, although each cluster is checked by itself."""
    clusters = [cluster(f"c-{n}", routes=[OWN], hostnames=["*.example.org"]) for n in range(3)]
    assert refusal(clusters=clusters, routes=[{"clusters": ["*"], **SHARED}] * 2) == [
        f"routes[1]: {TWICE}, on clusters[0] (c-0) by routes[0] (web-*); keep one of them"
    ]


def test_two_routes_for_different_clusters_may_write_the_same() -> None:
    """They never meet on one cluster."""
    routes = [{"labels": {"region": one}, **SHARED} for one in ("eu", "us")]
    assert len(parsed(routes=routes)["prd-eu"].routes) == 1


@law
@given(st.data())
def test_the_union_is_what_copying_into_each_entry_would_be(data: st.DataObject) -> None:
    """Shared keys are a short form: written into the entries, they mean the same, or are refused."""
    pairs = [{"env": "a"}, {"env": "b"}, {"region": "a"}, {"env": "a", "region": "a"}]
    labels = st.sampled_from([{}, *pairs])
    names = ["c1", "c2", "d1"]
    has = {name: data.draw(labels) for name in names}
    selection = st.one_of(
        st.fixed_dictionaries({"labels": st.sampled_from(pairs)}),
        st.fixed_dictionaries(
            {"clusters": st.lists(st.sampled_from(["c*", "*1", "d1", "*"]), min_size=1, max_size=2)}
        ),
    )
    sent = st.sampled_from(["web-tls", "web-*", "api-tls"])
    route = st.fixed_dictionaries(
        {
            "certificates": st.lists(sent, min_size=1, max_size=2, unique=True),
            "namespaces": st.lists(st.sampled_from(["n", "m"]), min_size=1, max_size=2, unique=True),
        }
    )
    shared = data.draw(st.lists(st.tuples(selection, route), min_size=1, max_size=3))
    base = {"hostnames": ["*.example.org"]}
    short = document(
        clusters=[cluster(name, labels=has[name], **base) for name in names],
        routes=[{**one, **two} for one, two in shared],
    )
    del short["hostnames"]

    def is_for(one: dict[str, Any], name: str) -> bool:
        patterns = {"c*": name[0] == "c", "*1": name[-1] == "1", "d1": name == "d1", "*": True}
        if "clusters" in one:
            return any(patterns[pattern] for pattern in one["clusters"])
        return all(has[name].get(key) == value for key, value in one["labels"].items())

    written = {name: [two for one, two in shared if is_for(one, name)] for name in names}
    full = [cluster(name, routes=routes, **base) for name, routes in written.items() if routes]
    expected = wanted(document(clusters=full, routes=None, hostnames=None)) if full else {}
    found = wanted(short)
    if found is None or expected is None:
        assert found == expected
    else:
        assert {name: one for name, one in found.items() if one} == expected


def wanted(given: dict[str, Any]) -> dict[str, set[tuple[str, str]]] | None:
    """Return pattern and namespace of each route, by cluster; None where the configuration is refused."""
    try:
        config = parse_config({key: value for key, value in given.items() if value is not None})
    except ConfigError:
        return None
    return {
        one.name: {(p, ns) for route in one.routes for p in route.certificates for ns in route.namespaces}
        for one in config.clusters
    }


def test_a_fleet_is_grouped_by_a_label() -> None:
    """Within a wave; `group` of a cluster counts more; those without the label are the wave's group."""
    clusters = [
        cluster("dev-eu", labels={"region": "eu"}),
        cluster("dev-us", labels={"region": "us"}),
        cluster("lab"),
        cluster("odd", labels={"region": "eu"}, group="alone"),
        cluster("prd-eu", labels={"region": "eu"}, wave=2),
    ]
    config = parse_config(
        document(
            fleet={"by": "region"},
            clusters=clusters,
            routes=[{"clusters": ["*"], **SHARED}],
            hostnames=[{"clusters": ["*"], "names": ["*.example.org"]}],
        )
    )
    groups = [[(one.name, one.clusters) for one in wave] for wave in groups_by_wave(config.clusters)]
    assert groups == [
        [
            ("eu-wave-1", ("dev-eu",)),
            ("us-wave-1", ("dev-us",)),
            ("wave-1", ("lab",)),
            ("alone", ("odd",)),
        ],
        [("eu-wave-2", ("prd-eu",))],
    ]


EXPLAINED: dict[str, tuple[str, str, list[str]]] = {
    "a route of the cluster": (
        "dev",
        "own-tls",
        [
            "clusters[0] (dev).routes[0] sends it, by 'own-tls', to own/own-tls",
            "its DNS names must be among *.dev.example.org",
        ],
    ),
    "a shared route": (
        "prd-eu",
        "web-a-tls",
        [
            "routes[0] sends it, by 'web-*', to web/web-a-tls",
            "routes[1] sends it, but not here: it is for clusters named prd-us",
            "its DNS names must be among *.prd.example.org",
        ],
    ),
    "a label that keeps it away": (
        "dev",
        "web-a-tls",
        [
            "no route of dev sends it, so it is not copied there",
            "routes[0] sends it, but not here: it is for clusters with env=prd; dev has env=dev",
            "routes[1] sends it, but not here: it is for clusters named prd-us",
        ],
    ),
    "no route": ("prd-eu", "other", ["no route of prd-eu sends it, so it is not copied there"]),
}


@pytest.mark.parametrize(("name", "certificate", "lines"), EXPLAINED.values(), ids=EXPLAINED)
def test_it_is_explained(name: str, certificate: str, lines: list[str]) -> None:
    """Which route sends a certificate to a cluster, or what keeps it away."""
    routes = [
        {"labels": {"env": "prd"}, **SHARED},
        {"clusters": ["prd-us"], "certificates": ["web-a-*"], "namespaces": ["other"]},
    ]
    found = explain(parse_config(document(routes=routes)), name, certificate)
    assert found == [f"{certificate} on {name}:", *(f"  {line}" for line in lines)]


def test_an_explanation_names_what_is_missing() -> None:
    """A cluster without hostnames, one without the label, and a suspended one."""
    rules = [{"clusters": ["dev"], "names": ["*.example.org"]}]
    config = parse_config(document(hostnames=rules))
    assert explain(config, "prd-us", "web-tls")[-1] == (
        "  prd-us has no `hostnames`, so no certificate may be copied there"
    )
    bare = document(clusters=[cluster("lab", suspended=True)], hostnames=[{**rules[0], "clusters": ["*"]}])
    lines = explain(parse_config(bare), "lab", "web-tls")
    assert "it is for clusters with env=prd; lab has no such label" in lines[2]
    assert lines[-1] == "  lab is suspended: nothing is written there"
    with pytest.raises(ConfigError, match="no such cluster; known are: lab"):
        explain(parse_config(bare), "rct", "web-tls")


def large(number: int) -> dict[str, Any]:
    """Clusters of ten environments, with ten shared routes."""
    clusters = [cluster(f"c-{n}", labels={"env": f"e{n % 10}"}) for n in range(number)]
    routes = [
        {"labels": {"env": f"e{n}"}, "certificates": [f"web-{n}-*"], "namespaces": ["web", "api"]}
        for n in range(10)
    ]
    return document(
        clusters=clusters, routes=routes, hostnames=[{"clusters": ["*"], "names": ["*.example.org"]}]
    )


def test_a_thousand_clusters_share_their_routes() -> None:
    """Memory and steps grow with the clusters, and not with clusters times certificates."""
    config: SyncConfig = parse_config(large(1000))
    assert len({id(route) for one in config.clusters for route in one.routes}) == 10
    few, many = (steps(partial(parse_config, large(number))) for number in (100, 1000))
    assert many <= 12 * few


def test_a_collision_on_all_clusters_is_told_once() -> None:
    """A thousand equal faults are no help."""
    crowd = large(1000)
    crowd["routes"] += [{"clusters": ["*"], "certificates": ["web-*"], "namespaces": ["api"]}]
    with pytest.raises(ConfigError) as refused:
        parse_config(crowd)
    assert len(str(refused.value).splitlines()) == 11
    assert MAX_FAULTS > 10


WHOLE = document(fleet={"by": "region"}, credentials={"namespace": "tls-sync-credentials"})
EDITS = st.lists(st.tuples(st.sampled_from(paths(WHOLE)[1:]), JUNK), min_size=1, max_size=3)


@law
@given(edits=EDITS)
def test_it_is_valid_or_refused_whatever_it_says(edits: list[Edit]) -> None:
    """Any value at any path of the shared keys gives a configuration, or a ConfigError that names a fault."""
    edited: Any = WHOLE
    for path, value in edits:
        edited = replaced(edited, path, value)
    told = faults(edited)
    assert not told or "\n  " in told
