"""DEV, then RCT, then PRD, in the flow and on real API servers."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prefect.client.schemas.objects import State

from flows.tls_sync import tls_sync
from tasks.watch.reconciler import Reconciler
from tasks.watch.source_watch import RESYNC
from tests.support.clusters import TARGETS, World

pytestmark = [pytest.mark.apiserver, pytest.mark.usefixtures("prefect_server", "no_waiting")]

SOON = datetime.now(UTC) + timedelta(hours=12)


@pytest.fixture
def waves(world: World) -> World:
    """Each target is a wave of its own."""

    def change(document: dict[str, Any]) -> None:
        for number, cluster in enumerate(document["clusters"], start=1):
            cluster["wave"] = number

    world.edit_config(change)
    return world


def run(**parameters: Any) -> State[Any]:
    return tls_sync(**parameters, return_state=True)


def holders(world: World, secret: dict[str, Any], among: tuple[str, ...] = TARGETS) -> set[str]:
    """Which of these targets have what this Secret holds."""
    copies = {name: world.copy(secret["metadata"]["name"], name) for name in among}
    return {name for name, copy in copies.items() if copy and copy["data"] == secret["data"]}


def span(world: World, cluster: str, since: int) -> tuple[str, str]:
    """When the first and the last request of a run came."""
    times = [entry["requestReceivedTimestamp"] for entry in world.requests(cluster, since)]
    return min(times), max(times)


def test_a_wave_begins_once_the_one_before_has_ended(waves: World) -> None:
    """No request reaches RCT before the last one for DEV, nor PRD before the last one for RCT."""
    since = {name: waves.log_position(name) for name in TARGETS}
    (secret,) = waves.issue("web-tls")
    state = run()
    assert (state.is_completed(), state.message) == (True, "3 clusters: create 3")
    assert holders(waves, secret) == set(TARGETS)
    (_, dev), (rct_first, rct), (prd, _) = (span(waves, name, since[name]) for name in TARGETS)
    assert dev <= rct_first
    assert rct <= prd


def test_what_fails_in_dev_never_reaches_prd(waves: World) -> None:
    """But for a copy that expires within a day; and once DEV is well, the next run does the rest."""
    urgent, other = (*waves.issue("web-urgent-tls", not_after=SOON), *waves.issue("web-tls"))
    run()
    urgent, other = waves.renew(urgent), waves.renew(other)
    with waves.down("dev"):
        state = run()
        assert holders(waves, urgent, TARGETS[1:]) == set(TARGETS[1:])
        assert holders(waves, other, TARGETS[1:]) == set()
    assert state.name == "ClustersFailed"
    assert state.message is not None
    assert "dev (Unreachable: " in state.message
    assert "rct (HeldBack: write 1 of 2 secrets: " in state.message
    assert "prd (HeldBack: write 1 of 2 secrets: " in state.message
    assert run().is_completed()
    assert holders(waves, urgent) == holders(waves, other) == set(TARGETS)


def test_at_rest_nobody_is_held_back(waves: World) -> None:
    """A wave that has nothing to write has nothing to wait for."""
    waves.issue("web-tls")
    run()
    with waves.down("dev"):
        state = run()
    assert state.message is not None
    assert state.message.startswith("1 of 3 clusters failed: dev (Unreachable: ")


def test_a_wave_at_rest_releases_nobody(waves: World) -> None:
    """PRD waits for DEV, even where all is well in RCT between them."""
    (secret,) = waves.issue("web-tls")
    run()
    renewed = waves.renew(secret)
    assert run(cluster="rct").is_completed()
    with waves.down("dev"):
        state = run()
        assert holders(waves, renewed, TARGETS[1:]) == {"rct"}
    assert state.message is not None
    assert "prd (HeldBack: write 1 of 1 secrets: " in state.message
    assert "rct" not in state.message


def test_who_asks_for_prd_gets_prd(waves: World) -> None:
    """A run by hand for one cluster waits for no other one."""
    (secret,) = waves.issue("web-tls")
    assert run(cluster="prd").message == "1 cluster: create 1"
    assert holders(waves, secret) == {"prd"}


def test_the_watcher_serves_the_first_wave(waves: World) -> None:
    """The others wait for a run, which sees first how it went there."""
    (secret,) = waves.issue("web-tls")
    reconciler = Reconciler()
    report = reconciler.reconcile(RESYNC)
    assert report is not None
    assert [one.cluster for one in report.clusters] == ["dev"]
    renewed = waves.renew(secret)
    reconciler.reconcile("web-tls")
    assert holders(waves, renewed) == {"dev"}
    reconciler.close()
