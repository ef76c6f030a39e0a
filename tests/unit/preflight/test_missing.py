"""What a preflight says of certificates that routes name and OPS does not have."""

from typing import Any

import pytest

from tasks.config.load import parse_config
from tasks.config.schema import Cluster
from tasks.domain.reasons import Reason
from tasks.preflight.missing import (
    MAX_FINDINGS,
    missing_findings,
    not_allowed_findings,
    unused_findings,
    verify_findings,
)
from tasks.preflight.model import Check, CheckStatus
from tests.support.factories import cluster, route

HELD = frozenset({"homarr-dev-tls", "homarr-rct-tls", "wildcard-dev-tls"})


def problems(held: frozenset[str], *clusters: Cluster) -> list[tuple[str, str]]:
    """Return text and remedy of each finding."""
    found = list(missing_findings(clusters, held))
    assert {(one.check, one.status, one.name) for one in found} <= {
        (Check.NAMESPACES, CheckStatus.ERROR, str(Reason.MISSING_ON_SOURCE))
    }
    return [(one.text, one.remedy) for one in found]


def test_a_name_that_ops_does_not_have_is_an_error_with_similar_names() -> None:
    """A run would be Failed. The finding names the clusters, and what may have been meant."""
    wrong = route(["homar-dev-tls", "headlamp"], ["app"])
    found = problems(HELD, cluster(wrong, name="prd"), cluster(wrong, name="dev"))
    (other, to_do), (name, remedy) = found
    assert name == "homar-dev-tls (to prd, dev): a route names it, but OPS has no such certificate"
    assert remedy == (
        "OPS has homarr-dev-tls: correct the name in the route, or create the Certificate on OPS"
    )
    assert other == "headlamp (to prd, dev): a route names it, but OPS has no such certificate"
    assert to_do == "correct the name in the route, or create the Certificate on OPS"


def test_what_is_there_and_what_a_glob_does_not_match_is_no_error() -> None:
    """As in a run, only a name without a glob has to be there."""
    assert problems(HELD, cluster(route(["homarr-dev-tls", "headlamp-*"], ["app"]))) == []
    assert problems(frozenset(), cluster(route(["*"], ["app"]))) == []


def test_thousands_of_missing_names_are_few_findings() -> None:
    """The first ones are named, and the others counted: names are compared only for those."""
    names = [f"web-{number:05d}-tls" for number in range(5000)]
    found = problems(HELD, cluster(route(names, ["app"])))
    assert len(found) == MAX_FINDINGS + 1
    assert found[-1][0] == "4,980 more: a route names it, but OPS has no such certificate"


def test_a_shared_route_for_no_cluster_is_a_warning() -> None:
    """It may be for clusters that come later, or its label may be misspelt."""
    shared = {"labels": {"env": "prd"}, "certificates": ["a"], "namespaces": ["b"]}
    one = {"name": "prd", "context": "prd", "labels": {"env": "prd"}}
    config = parse_config(
        {
            "owner": "ops",
            "source": {"namespace": "certificates-ops"},
            "clusters": [one],
            "routes": [shared, {**shared, "labels": {"env": "prod"}}],
            "hostnames": [{"clusters": ["*"], "names": ["*.example.org"]}],
        }
    )
    (found,) = unused_findings(config)
    assert (found.status, found.name) == (CheckStatus.WARNING, "NoCluster")
    assert found.text == "routes[1] is for no cluster"


def test_certificates_beyond_the_allowed_namespaces_are_a_warning() -> None:
    """They are not sent, which may be meant: the finding names each, with the namespace that it yields."""
    by_name = {
        "certificates": ["*-dev-tls"],
        "namespaces": ["{1}-dev"],
        "allowedNamespaces": ["homarr-dev"],
    }
    (found,) = not_allowed_findings([cluster(by_name)], HELD)
    assert (found.status, found.name) == (CheckStatus.WARNING, "NamespaceNotAllowed")
    assert found.text == (
        "not sent, since allowedNamespaces lacks their namespace: wildcard-dev (wildcard-dev-tls)"
    )
    assert not list(not_allowed_findings([cluster(by_name)], {"homarr-dev-tls"}))


@pytest.mark.parametrize(
    ("settings", "warned"),
    [
        ({}, True),
        ({"served": ["web.example.org"]}, False),
        ({"served": ["web.example.org"], "last": 1}, True),
        ({"served": ["web.example.org"], "suspended": True}, True),
        ({"verify": None}, False),
    ],
    ids=str,
)
def test_waves_that_wait_for_nothing_are_a_warning(settings: dict[str, Any], warned: bool) -> None:
    """With `waves.verify: served`, a route of an earlier wave must say where its copies are served."""
    shared = {"clusters": ["dev"], "certificates": ["a"], "namespaces": ["b"]}
    suspended, last = settings.get("suspended", False), settings.get("last", 2)
    config = parse_config(
        {
            "owner": "ops",
            "source": {"namespace": "certificates-ops"},
            "waves": {"verify": settings.get("verify", "served")},
            "clusters": [
                {"name": "dev", "context": "dev", "wave": 1, "suspended": suspended},
                {"name": "prd", "context": "prd", "wave": last},
            ],
            "routes": [{**shared, "served": settings.get("served", [])}],
            "hostnames": [{"clusters": ["*"], "names": ["*.example.org"]}],
        }
    )
    found = [(one.status, one.name) for one in verify_findings(config)]
    assert found == ([(CheckStatus.WARNING, "NothingServed")] if warned else [])
