"""Limits of what Certificates may ask for, in the configuration: their rules, and what follows from them."""

from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.config.explain import explain
from tasks.config.load import parse_config
from tasks.config.schema import Cluster
from tasks.domain.models import CopyRequest
from tasks.domain.parameters import RunParameters
from tasks.plan.requests import granted
from tasks.preflight.missing import unused_findings
from tasks.setup.manifests import manifests
from tests.support.factories import certificate, law, snapshot
from tests.support.steps import steps
from tests.unit.config.test_schema import JUNK, PROTECTED, Edit, faults, paths, replaced
from tests.unit.config.test_shared_routes import SELECTIONS, cluster, refusal
from tests.unit.config.test_shared_routes import document as shared_document

LIMIT = {
    "labels": {"env": "prd"},
    "certificates": ["web-*"],
    "namespaces": ["web", "web-2"],
    "hostnames": ["*.prd.example.org"],
}


def document(*limits: dict[str, Any], **values: Any) -> dict[str, Any]:
    """Three clusters, dev with routes of its own, two of env prd; none has the namespaces of the limits."""
    others = [{"labels": {"env": "prd"}, "certificates": ["own-*"], "namespaces": ["own"]}]
    return shared_document(**{"routes": others, "selfService": list(limits) or [LIMIT], **values})


def parsed(*limits: dict[str, Any], **values: Any) -> dict[str, Cluster]:
    return {one.name: one for one in parse_config(document(*limits, **values)).clusters}


@pytest.mark.parametrize(("selection", "selected"), SELECTIONS.values(), ids=SELECTIONS)
def test_a_limit_is_for_the_clusters_that_it_selects(selection: dict[str, Any], selected: list[str]) -> None:
    """As a shared route is; and it alone sends nothing anywhere."""
    unlabelled = {key: value for key, value in LIMIT.items() if key != "labels"}
    found = parsed({**unlabelled, **selection})
    assert [name for name, one in found.items() if one.may_get("web-a-tls")] == selected
    assert [name for name, one in found.items() if "web" in one.namespaces_of(None)] == selected
    assert not any(one.routes_certificate("web-a-tls") for one in found.values())
    assert not any(one.copies_of("web-a-tls") for one in found.values())


def test_its_namespaces_are_looked_at_and_get_their_roles() -> None:
    """A copy whose request was withdrawn is seen there, and one that is granted can be written."""
    prd = parsed()["prd-eu"]
    assert prd.observed_namespaces(None) == ("own", "web", "web-2")
    assert prd.observed_namespaces("web-a-tls") == ("web", "web-2")
    assert prd.observed_namespaces("own-tls") == ("own",)
    assert prd.namespaces_of("web-a-tls") == ()
    roles = {one["metadata"].get("namespace") for one in manifests(prd) if one["kind"] == "Role"}
    assert {"own", "web", "web-2"} <= roles


def test_a_run_for_one_certificate_may_be_for_what_is_asked_for() -> None:
    """Whether it is asked for shows only once OPS was read: the clusters that may get it are looked at."""
    config = parse_config(document())
    found = config.select(RunParameters(certificate="web-a-tls"))
    assert [one.name for one in found] == ["prd-eu", "prd-us"]


def test_clusters_with_limits_need_no_routes() -> None:
    """But without hostnames, they get nothing that is asked for."""
    clusters = [cluster("dev", labels={"env": "prd"})]
    bare = document(clusters=clusters)
    del bare["routes"]
    (dev,) = parse_config(bare).clusters
    assert dev.may_get("web-a-tls")
    del bare["hostnames"]
    assert "clusters[0] (dev).hostnames: is required; add it" in faults(bare)


FAULTS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "no cluster": (
        {"labels": {}},
        ['selfService[0]: is for no cluster; add `clusters` (["*"] for all), or `labels` that they have'],
    ),
    "a misspelt cluster": (
        {"clusters": ["prod-eu"]},
        ["selfService[0].clusters[0]: no cluster has this name; known are: dev, prd-eu, prd-us"],
    ),
    "a protected namespace": (
        {"namespaces": ["web", "kube-system"]},
        [f"selfService[0].namespaces[1]: {PROTECTED}"],
    ),
    "a pattern of namespaces": (
        {"namespaces": ["web-*"]},
        ["selfService[0].namespaces[0]: not a namespace; use a DNS-1123 label: a-z, 0-9 and -, at most 63"],
    ),
    "a name that is none": (
        {"certificates": ["Web"]},
        [
            (
                "selfService[0].certificates[0]: "
                "neither the name of a Secret nor a glob of names (only * is special)"
            )
        ],
    ),
    "a hostname that is none": (
        {"hostnames": ["*"]},
        [
            (
                "selfService[0].hostnames[0]: "
                "not a DNS name; write it in lower case, * for a whole label: *.example.org"
            )
        ],
    ),
    "an empty list": (
        {"hostnames": []},
        ["selfService[0].hostnames: must not be empty; give at least one, or remove the block"],
    ),
    "a key that is none": ({"name": "x"}, ["selfService[0].name: unknown key; correct or remove it"]),
}


@pytest.mark.parametrize(("change", "told"), FAULTS.values(), ids=FAULTS)
def test_a_wrong_limit_is_refused_with_its_path(change: dict[str, Any], told: list[str]) -> None:
    """The path is that of the file."""
    assert refusal(**document({**LIMIT, **change})) == told


@pytest.mark.parametrize("key", ["certificates", "namespaces", "hostnames"])
def test_a_limit_says_all_that_it_allows(key: str) -> None:
    """What is left out allows nothing, so nothing may be left out."""
    limit = {name: value for name, value in LIMIT.items() if name != key}
    assert refusal(**document(limit)) == [f"selfService[0].{key}: is required; add it"]


def test_a_limit_stands_at_the_top_level_only() -> None:
    """In a cluster's entry it is an unknown key."""
    told = refusal(**document(clusters=[cluster("dev", hostnames=["a.example.org"], selfService=[LIMIT])]))
    assert "clusters[0] (dev).selfService: unknown key; correct or remove it" in told


def test_a_limit_for_no_cluster_is_warned_of() -> None:
    """The preflight says so, as of a route."""
    config = parse_config(document(LIMIT, {**LIMIT, "labels": {"env": "lab"}}))
    assert [one.text for one in unused_findings(config)] == ["selfService[1] is for no cluster"]


EXPLAINED: dict[str, tuple[str, str, tuple[str, ...], list[str]]] = {
    "a request that is granted": (
        "prd-eu",
        "web-a-tls",
        ("prd-eu/web",),
        [
            "Certificate web asks for it, and selfService[0] grants it, to web/web-a-tls",
            "selfService[0] allows the DNS names *.prd.example.org",
            "its DNS names must be among *.prd.example.org",
        ],
    ),
    "a request that is refused": (
        "dev",
        "web-a-tls",
        ("dev/web",),
        [
            "no route of dev sends it, so it is not copied there",
            (
                "RequestBeyondLimits: its Certificate asks for a copy that no limit of selfService allows "
                "(Certificate web: dev/web: this cluster is not allowed by selfService[0])"
            ),
        ],
    ),
    "nobody asks": (
        "prd-us",
        "web-a-tls",
        ("prd-eu/web",),
        [
            "no route of prd-us sends it, so it is not copied there",
            "selfService[0] allows web, web-2, if its Certificate asks for it (tls-sync.io/to: prd-us/web)",
        ],
    ),
}


@pytest.mark.parametrize(("name", "secret", "asked", "lines"), EXPLAINED.values(), ids=EXPLAINED)
def test_it_is_explained(name: str, secret: str, asked: tuple[str, ...], lines: list[str]) -> None:
    """Which request sends a certificate to a cluster, which limit keeps it away, or what could be asked."""
    request = CopyRequest(secret=secret, certificates=("web",), asked=asked)
    config, found = granted(parse_config(document()), snapshot(certificate(secret), requests=(request,)))
    told = explain(config, name, secret, found.refused_requests)
    assert told == [f"{secret} on {name}:", *(f"  {line}" for line in lines)]


def test_a_thousand_clusters_share_their_limits() -> None:
    """Steps grow with the clusters."""

    def large(number: int) -> dict[str, Any]:
        clusters = [cluster(f"c-{n}", labels={"env": "prd"}) for n in range(number)]
        return document(clusters=clusters)

    few, many = (steps(partial(parse_config, large(number))) for number in (100, 1000))
    assert many <= 12 * few


WHOLE = document()
EDITS = st.lists(st.tuples(st.sampled_from(paths(WHOLE)[1:]), JUNK), min_size=1, max_size=3)


@law
@given(edits=EDITS)
def test_it_is_valid_or_refused_whatever_it_says(edits: list[Edit]) -> None:
    """Any value at any path gives a configuration, or a ConfigError that names a fault."""
    edited: Any = WHOLE
    for path, value in edits:
        edited = replaced(edited, path, value)
    told = faults(edited)
    assert not told or "\n  " in told
