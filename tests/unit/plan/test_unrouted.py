"""What reports leave out: what is unfit on OPS, and wanted by nobody."""

from time import thread_time
from typing import Any

import pytest

from tasks.config.schema import SyncConfig
from tasks.domain.models import SourceSnapshot
from tasks.domain.reasons import Reason
from tasks.plan.unrouted import without_unrouted
from tests.support.factories import certificate, cluster, issuance, rejection, route, snapshot

FOUND = snapshot(
    certificate("web-tls"),
    rejection("web-old-tls"),
    rejection("root-ca", Reason.IS_CA),
    issuance("web-new-tls"),
    issuance("root"),
)


def config(*certificates: str, **values: Any) -> SyncConfig:
    other = cluster(route(["nothing-tls"]), name="rct")
    mine = cluster(route(certificates), name="dev", **values)
    return SyncConfig.model_validate(
        {"owner": "ops", "source": {"namespace": "certificates-ops"}, "clusters": [other, mine]}
    )


def listed(found: SourceSnapshot) -> list[str]:
    rejected = [one.ref.name for one in found.rejections]
    return rejected + [one.ref.name for one in found.issuances]


@pytest.mark.parametrize(
    ("certificates", "names", "counted"),
    [
        (["web-*"], ["web-old-tls", "web-new-tls"], (1, 1)),
        (["web-old-tls"], ["web-old-tls"], (1, 2)),
        (["root-ca"], ["root-ca"], (1, 2)),
        (["*"], ["web-old-tls", "root-ca", "web-new-tls", "root"], (0, 0)),
        (["other-tls"], [], (2, 2)),
    ],
    ids=str,
)
def test_what_no_route_names_is_counted(
    certificates: list[str], names: list[str], counted: tuple[int, int]
) -> None:
    """Whatever the reason; a route that names it, by a glob or literally, keeps it on the list."""
    found = without_unrouted(FOUND, config(*certificates))
    assert listed(found) == names
    assert (found.unrouted_rejections, found.unrouted_issuances) == counted
    assert found.certificates == FOUND.certificates


def test_a_suspended_cluster_names_it_too() -> None:
    """The configuration decides, not the clusters of this run."""
    assert listed(without_unrouted(FOUND, config("web-*", suspended=True, group="other"))) == [
        "web-old-tls",
        "web-new-tls",
    ]


def test_thousands_of_names_and_routes_are_looked_up() -> None:
    """Literal names are not compared with as many names on OPS: a report would take a minute."""
    found = snapshot(*(rejection(f"old-{number}-tls") for number in range(3000)))
    routes = config(*(f"web-{number}-tls" for number in range(3000)), "old-1-tls", "old-200*-tls")
    began = thread_time()
    names = set(listed(without_unrouted(found, routes)))
    assert thread_time() - began < 1
    assert names == {"old-1-tls", "old-200-tls"} | {f"old-200{digit}-tls" for digit in range(10)}
