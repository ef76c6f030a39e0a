"""A first sync of several clusters on real servers: OPS's data is listed once, and none waits long."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from threading import Event
from typing import NamedTuple

import pytest

from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import Action, ClusterReport, SourceSnapshot
from tasks.kube import client
from tasks.kube.transport import USER_AGENT_OF_DATA
from tasks.plan.spec import RunMemory
from tasks.target import shared_list
from tests.support.clusters import World, codes
from tests.support.fault_proxy import Answer, Forward, Request
from tests.support.waiting import until

pytestmark = pytest.mark.apiserver

NAMES = [f"web-{number}-tls" for number in range(6)]
PAGE, PAGES = 2, 3
SECONDS = 120.0


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also, each cluster has the time to come to the point of writing on a slow machine."""
    monkeypatch.setattr(client, "DATA_PAGE", PAGE)
    monkeypatch.setattr(shared_list, "ARRIVAL_SECONDS", SECONDS)
    monkeypatch.setattr(shared_list, "PATIENCE_SECONDS", SECONDS)


class Synced(NamedTuple):
    reports: dict[str, ClusterReport]
    reads: list[str]
    """The verbs of the requests for data on OPS. The clusters knew the certificates: only writers read."""


def first_sync(world: World, snapshot: SourceSnapshot | None = None) -> Synced:
    """Sync all clusters at the same time."""
    snapshot, memory = snapshot or world.snapshot(), RunMemory()
    start = world.log_position("ops")
    with ExitStack() as stack, ThreadPoolExecutor(len(world.targets)) as pool:
        for name in world.targets:
            stack.enter_context(memory.gathering.expecting(name))
        reports = pool.map(lambda name: world.sync(name, snapshot, SECONDS, memory=memory), world.targets)
        found = dict(zip(world.targets, reports, strict=True))
    log = world.requests("ops", start)
    return Synced(found, [one["verb"] for one in log if one.get("userAgent") == USER_AGENT_OF_DATA])


def created(reports: Sequence[ClusterReport]) -> list[int]:
    return [report.counts.get(Action.CREATE, 0) for report in reports]


def test_a_first_sync_lists_the_data_once(world: World) -> None:
    """Three clusters cost OPS the pages of one list; each gets every copy."""
    secrets = world.issue(*NAMES)
    reports, reads = first_sync(world)
    assert created(list(reports.values())) == [len(NAMES)] * 3
    assert all(map(world.is_everywhere, secrets))
    assert reads == ["list"] * PAGES


def test_a_cluster_that_is_down_changes_nothing_for_the_others(world: World) -> None:
    """It never comes to the point of writing; the others share a list."""
    world.issue(*NAMES)
    with world.down("rct"):
        reports, reads = first_sync(world)
    assert codes(reports.pop("rct")) == [FailureCode.UNREACHABLE]
    assert created(list(reports.values())) == [len(NAMES)] * 2
    assert reads == ["list"] * PAGES


def test_a_slow_cluster_reads_the_rest_by_itself(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """While its writes hang the others end; then it lists what it has not seen, and gets every copy, too."""
    secrets = world.issue(*NAMES)
    monkeypatch.setattr(shared_list, "PATIENCE_SECONDS", 0.1)

    def others_ended() -> bool:
        return all(len(world.versions(name)) == len(NAMES) for name in ("rct", "prd"))

    def held(request: Request, forward: Forward) -> Answer:
        if request.method == "PATCH":
            until("the others' end", others_ended)
        return forward()

    with world.proxy("dev") as proxy:
        proxy.fault = held
        reports, _ = first_sync(world)
    assert created(list(reports.values())) == [len(NAMES)] * 3
    assert all(map(world.is_everywhere, secrets))


def test_a_cluster_that_has_nothing_to_write_keeps_nobody_waiting(world: World) -> None:
    """It writes notes alone, and its server hangs until the others have every copy."""
    secrets = world.issue(*NAMES)
    world.sync("dev")
    are_there = Event()

    def held(request: Request, forward: Forward) -> Answer:
        if request.method == "PATCH":
            until("the others' copies", lambda: all(len(world.versions(one)) == 6 for one in ("rct", "prd")))
            are_there.set()
        return forward()

    with world.proxy("dev") as proxy:
        proxy.fault = held
        reports, _ = first_sync(world)
    assert are_there.is_set()
    assert created(list(reports.values())) == [0, len(NAMES), len(NAMES)]
    assert all(map(world.is_everywhere, secrets))


def test_where_ops_fails_in_the_middle_each_report_has_it(world: World) -> None:
    """What was read before is written everywhere, and no cluster asks again."""
    world.issue(*NAMES)
    snapshot = world.snapshot()

    def fault(request: Request, forward: Forward) -> Answer:
        is_of_data = request.headers["User-Agent"] == USER_AGENT_OF_DATA
        return Answer(503) if is_of_data and "continue=" in request.path else forward()

    with world.proxy("ops") as proxy:
        proxy.fault = fault
        reports, reads = first_sync(world, snapshot)
    assert {tuple(codes(report)) for report in reports.values()} == {(FailureCode.SERVER_ERROR,)}
    assert created(list(reports.values())) == [PAGE] * 3
    assert sum("continue=" in one.path for one in proxy.requests) == 1
    assert reads == ["list"]
