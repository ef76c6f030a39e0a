"""Waves that wait for what DEV's addresses present, in the flow and on real API servers."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prefect.client.schemas.objects import State

from flows.tls_sync import tls_sync
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import ClusterReport, RunReport, ServedMatch
from tasks.orchestration import publish
from tasks.report import markdown, terminal
from tasks.served import look
from tests.conftest import running
from tests.support import tls_programs
from tests.support.clusters import CLUSTERS, TARGETS, Manifest, World, codes
from tests.support.ingress import Ingress, ingress, nginx, pair
from tests.support.tls_server import listening, never_answers, tls_server

pytestmark = [pytest.mark.apiserver, pytest.mark.usefixtures("prefect_server", "no_waiting")]

NAME = "web-tls.example.org"
SOON = datetime.now(UTC) + timedelta(hours=12)


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that waits in vain looks once."""
    monkeypatch.setattr(look, "SECONDS", 0.0)
    monkeypatch.setattr(look, "PAUSE_SECONDS", 0.1)


@pytest.fixture
def reports() -> Iterator[list[RunReport]]:
    """The reports of the runs of a test."""
    found: list[RunReport] = []
    publish.listeners.append(found.append)
    yield found
    publish.listeners.remove(found.append)


@pytest.fixture
def secret(world: World) -> Manifest:
    """A certificate that all targets have, and that is renewed in a moment."""
    (found,) = world.issue("web-tls")
    world.run()
    return found


def wait_for(world: World, *addresses: str) -> None:
    """Each target is a wave of its own; DEV's copies are served at these addresses."""

    def change(document: Manifest) -> None:
        for number, cluster in enumerate(document["clusters"], start=1):
            cluster["wave"] = number
        document["clusters"][0]["routes"] = [
            {**route, "served": list(addresses)} for route in document["clusters"][0]["routes"]
        ]
        document["waves"] = {"verify": "served"}

    world.edit_config(change)


@contextmanager
def serving(world: World) -> Iterator[Ingress]:
    """DEV has a server that has loaded its copy of web-tls, and the next waves wait for it."""
    with ingress(lambda: world.copy("web-tls")) as server:
        server.reload()
        wait_for(world, server.address)
        yield server


def run(**parameters: Any) -> State[Any]:
    return tls_sync(**parameters, return_state=True)


def holders(world: World, secret: Manifest) -> set[str]:
    copies = {name: world.copy(secret["metadata"]["name"], name) for name in TARGETS}
    return {name for name, copy in copies.items() if copy and copy["data"] == secret["data"]}


def of(report: RunReport, cluster: str) -> ClusterReport:
    return next(one for one in report.clusters if one.cluster == cluster)


def presented(report: RunReport) -> list[ServedMatch]:
    return [one.served.match for cluster in report.clusters for one in cluster.served if one.served]


def test_later_waves_wait_until_dev_serves_the_new_one(
    world: World, secret: Manifest, reports: list[RunReport]
) -> None:
    """RCT and PRD are NotServed while DEV's server has the old one; the run after its reload passes.

    The reports say who presents what since when, and hold no key.
    """
    with serving(world) as server:
        renewed = world.renew(secret)
        state = run()
        assert state.name == "ClustersFailed"
        assert holders(world, renewed) == {"dev"}
        assert [codes(of(reports[-1], name)) for name in TARGETS] == [[], *[[FailureCode.NOT_SERVED]] * 2]
        assert "rct (NotServed: write 1 of 1 secrets: " in str(state.message)
        detail = of(reports[-1], "rct").failures[0].detail
        assert detail.startswith("1 of 1 handshake: dev: 127.0.0.1:")
        assert f"as {NAME}: older: an older certificate: the server has not loaded the stored one" in detail
        assert "; not what app-a/web-tls has since " in detail
        assert presented(reports[-1]) == [ServedMatch.OLDER]
        server.reload()
        assert run().message == "3 clusters: update 2, keep 1"
        assert holders(world, renewed) == set(TARGETS)
        assert presented(reports[-1]) == [ServedMatch.SAME]
    for report in reports:
        text = report.model_dump_json() + terminal.render(report) + markdown.render_run(report)
        assert world.shown(text) == set()


def test_a_server_that_reloads_meanwhile_is_waited_for(
    world: World, secret: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One run brings the renewal to all waves, if each server reloads within the time for it."""
    monkeypatch.setattr(look, "SECONDS", 600.0)
    with serving(world) as server:
        renewed = world.renew(secret)
        server.reloads_after = 2
        assert run().message == "3 clusters: update 3"
        assert server.handshakes == 3  # the old one twice, then the new one; and none more for PRD
    assert holders(world, renewed) == set(TARGETS)


def test_at_rest_waves_that_wait_cost_no_request(world: World, secret: Manifest) -> None:
    """A run with nothing to do asks the API servers for the same, and DEV's server for nothing."""

    def requests_of_a_run() -> dict[str, list[tuple[str, str]]]:
        since = {name: world.log_position(name) for name in CLUSTERS}
        assert run().is_completed()
        return {
            name: sorted((one["verb"], one["requestURI"]) for one in world.requests(name, position))
            for name, position in since.items()
        }

    run()  # notes what was compared
    before = requests_of_a_run()
    with serving(world) as server:
        assert requests_of_a_run() == before
        assert server.handshakes == 0


def test_a_run_with_nothing_to_write_asks_nobody(
    world: World, secret: Manifest, reports: list[RunReport]
) -> None:
    """At rest there is no handshake, whatever DEV's server presents; nor in a dry run, or one for PRD."""
    with serving(world) as server:
        assert run().is_completed()
        world.renew(secret)
        assert run(dry_run=True).is_completed()
        assert run(cluster="prd").is_completed()
        assert run(cluster="rct").is_completed()
        assert server.handshakes == 0
        assert run().is_completed()
        assert server.handshakes == 0
    assert [presented(report) for report in reports] == [[]] * 5


def test_the_next_run_looks_again_though_dev_is_in_sync(
    world: World, secret: Manifest, reports: list[RunReport]
) -> None:
    """DEV has nothing to do, and its copy is known by its note: the serial number is compared."""
    with serving(world) as server:
        renewed = world.renew(secret)
        for _ in range(3):
            assert run().name == "ClustersFailed"
        assert holders(world, renewed) == {"dev"}
        (copy,) = of(reports[-1], "dev").served
        assert (copy.leaf, bool(copy.serial)) == ("", True)
        since = {one.served[0].since for report in reports[1:] for one in report.clusters if one.served}
        assert len(since) == 1  # as DEV's API server says when the copy was written
        server.reload()
        assert run().is_completed()
    assert holders(world, renewed) == set(TARGETS)


def test_a_bad_certificate_stops_at_dev(world: World, secret: Manifest, reports: list[RunReport]) -> None:
    """DEV's server refuses to load it, and goes on with the former one: RCT and PRD keep theirs."""
    with serving(world):
        bad = world.renew(secret)
        for _ in range(2):
            assert run().name == "ClustersFailed"
    assert holders(world, bad) == {"dev"}
    assert holders(world, secret) == {"rct", "prd"}
    assert presented(reports[-1]) == [ServedMatch.OLDER]


def test_urgent_copies_pass(world: World) -> None:
    """What expires within a day is written in all waves, whatever DEV's server presents."""
    urgent, other = (*world.issue("web-tls", not_after=SOON), *world.issue("web-2-tls"))
    world.run()
    with serving(world):
        urgent, other = world.renew(urgent), world.renew(other)
        state = run()
        assert "rct (NotServed: write 1 of 2 secrets: " in str(state.message)
    assert holders(world, urgent) == set(TARGETS)
    assert holders(world, other) == {"dev"}


def test_an_address_without_a_certificate_holds(
    world: World, secret: Manifest, tmp_path: Path, reports: list[RunReport]
) -> None:
    """Dead, silent, or with a certificate for other names: each holds, with what it presents."""
    fake = tls_server(tmp_path, {"x": pair(world.issuer.secret("fake-tls", ["ingress.local"]))}, default="x")
    renewed = world.renew(secret)
    with listening(never_answers) as silent, listening(fake) as other:
        wait_for(world, "127.0.0.1:1", silent, other)
        assert run().name == "ClustersFailed"
    assert holders(world, renewed) == {"dev"}
    said = {one.served.address: one.served.detail for one in of(reports[-1], "dev").served if one.served}
    assert said == {
        "127.0.0.1:1": "connection refused",
        silent: "no answer in 2 s",
        other: "a certificate for other names",
    }
    wait_for(world)  # without addresses, nobody is held back
    assert run().is_completed()
    assert holders(world, renewed) == set(TARGETS)


@pytest.fixture(scope="module")
def servers() -> Iterator[None]:
    yield from running(tls_programs.installed(), "nginx can't be had")


def test_nginx_is_waited_for(
    servers: None, world: World, secret: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the new copy in its files it presents the old one: held. After a reload the run passes."""
    with nginx(tmp_path, lambda: world.copy("web-tls")) as server:
        wait_for(world, server.address)
        renewed = world.renew(secret)
        assert run().name == "ClustersFailed"
        server.write()
        state = run()
        assert "prd (NotServed: write 1 of 1 secrets: " in str(state.message)
        assert holders(world, renewed) == {"dev"}
        monkeypatch.setattr(look, "SECONDS", 600.0)  # nginx reloads by and by
        server.reload()
        assert run().is_completed()
    assert holders(world, renewed) == set(TARGETS)
