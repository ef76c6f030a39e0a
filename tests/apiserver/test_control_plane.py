"""Trouble with etcd: frozen, without its leader, set back to an older snapshot. Each cluster has its own."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from deployments.sandbox.clusters.control_plane import Sandbox
from deployments.sandbox.clusters.manifests import Manifest
from deployments.sandbox.world.invariants import Oracle
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import ClusterReport
from tasks.domain.reasons import Reason
from tests.apiserver.scenarios import at_the_third_write
from tests.conftest import running_sandbox
from tests.support.clusters import World, codes

pytestmark = pytest.mark.apiserver

NAMES = tuple(f"web-{number}-tls" for number in range(6))
FROZEN_SECONDS = 20.0
SLACK_SECONDS = 20.0
"""For a busy machine, beyond a deadline."""
IN_TROUBLE = {
    FailureCode.SERVER_ERROR,
    FailureCode.TIMEOUT,
    FailureCode.DEADLINE,
    FailureCode.CONNECTION_LOST,
}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """OPS and DEV, each with an etcd of its own; DEV's has three members."""
    yield from running_sandbox(Sandbox(("ops", "dev"), own_etcds={"ops": 1, "dev": 3}))


def applied(report: ClusterReport) -> set[str]:
    return {f"{change.target}" for change in report.changes if change.applied}


def converges(world: World, oracle: Oracle) -> None:
    """The next run heals everything, the one after it writes nothing, and nobody objects."""
    oracle.look()
    report = world.run()["dev"]
    assert report.ok
    assert oracle.objections() + oracle.differences() + oracle.misreported({"dev": applied(report)}) == []
    oracle.look()
    assert world.run()["dev"].ok
    assert oracle.writes_tried() == []


def test_a_frozen_etcd_costs_its_own_time_and_no_more(world: World) -> None:
    """With etcd frozen for 20 s, who has time succeeds or says why not, who has none ends by its deadline."""
    world.configure([{"certificates": ["web-*"], "namespaces": ["app-a", "app-b"]}])
    world.issue(*NAMES)
    snapshot, oracle = world.snapshot(), world.oracle(("app-a", "app-b"))
    members = world.sandbox.etcd("dev").pids
    thawed: list[threading.Timer] = []

    def tell(number: signal.Signals) -> None:
        for pid in members:
            os.kill(pid, number)

    def freeze() -> None:
        tell(signal.SIGSTOP)
        thawed.append(threading.Timer(FROZEN_SECONDS, tell, [signal.SIGCONT]))
        thawed[0].start()

    with at_the_third_write(world, freeze), oracle.watching("dev"), ThreadPoolExecutor(2) as pool:
        patient = pool.submit(world.sync, "dev", snapshot, 90)
        hasty = pool.submit(world.sync, "dev", snapshot, 8)
        ended_early = hasty.result(8 + SLACK_SECONDS)
        assert thawed
        assert thawed[0].is_alive()
        reports = [ended_early, patient.result(90 + SLACK_SECONDS)]
        thawed[0].join()
    assert not ended_early.ok
    assert {code for report in reports for code in codes(report)} <= IN_TROUBLE
    assert oracle.objections() == []
    assert {name for report in reports for name in applied(report)} <= set(world.versions())
    converges(world, oracle)


def test_a_leader_killed_in_mid_run_is_overcome(world: World) -> None:
    """The leader of three members dies in mid-run: a success or a coded failure; the next run converges."""
    older = world.issue(*NAMES)
    assert world.run()["dev"].ok
    renewed = [world.renew(secret) for secret in older[:4]]
    oracle, etcd = world.oracle(), world.sandbox.etcd("dev")
    leader = etcd.leader()
    with at_the_third_write(world, lambda: etcd.stop([leader])), oracle.watching("dev"):
        report = world.run()["dev"]
    assert set(codes(report)) <= IN_TROUBLE
    assert oracle.objections() == []
    # Not by the audit log: a write that the server answered with an error may have taken place, and counts
    # once it is seen to lie there.
    assert applied(report) <= {
        f"app-a/{one['metadata']['name']}" for one in renewed if lies_on_dev(world, one)
    }
    converges(world, oracle)
    assert etcd.leader() != leader
    etcd.start([leader])
    converges(world, oracle)


def lies_on_dev(world: World, secret: Manifest) -> bool:
    copy = world.copy(secret["metadata"]["name"])
    return copy is not None and bool(copy["data"] == secret["data"])


@pytest.fixture
def snapshot(world: World, tmp_path: Path) -> Callable[[str], Callable[[], None]]:
    """Saves what a cluster has now; what it gives back restores that, as after a disaster."""

    def save(cluster: str) -> Callable[[], None]:
        place, etcd, server = tmp_path / cluster, world.sandbox.etcd(cluster), world.sandbox.cluster(cluster)

        def stopped(do: Callable[[Path], None]) -> None:
            server.stop(grace=0)
            etcd.stop()
            do(place)
            etcd.start()
            server.start()

        stopped(etcd.save)
        return lambda: stopped(etcd.restore)

    return save


def test_a_target_restored_from_an_older_snapshot_is_brought_up_to_date(
    world: World, snapshot: Callable[[str], Callable[[], None]]
) -> None:
    """What the snapshot has in an older version is renewed, what it lacks is made again."""
    older = world.issue(*NAMES[:3])
    assert world.run()["dev"].ok
    restore = snapshot("dev")
    world.renew(older[0])
    world.issue(*NAMES[3:])
    assert world.run()["dev"].ok
    restore()
    oracle = world.oracle()
    report = world.run()["dev"]
    assert report.ok
    assert {change.target.name: change.reason for change in report.changes} == {
        NAMES[0]: Reason.CERTIFICATE_RENEWED,
        **dict.fromkeys(NAMES[1:3], Reason.IN_SYNC),
        **dict.fromkeys(NAMES[3:], Reason.MISSING_ON_TARGET),
    }
    assert oracle.objections() + oracle.differences() + oracle.misreported({"dev": applied(report)}) == []
    converges(world, oracle)


def test_ops_restored_from_an_older_snapshot_sends_nothing_older(
    world: World, snapshot: Callable[[str], Callable[[], None]]
) -> None:
    """What the targets have newer is refused and stays, until OPS has renewed its certificates again."""
    older = world.issue(*NAMES[:3])
    assert world.run()["dev"].ok
    restore = snapshot("ops")
    for secret in older[:2]:
        world.renew(secret)
    world.issue(NAMES[3])
    assert world.run()["dev"].ok
    restore()
    oracle = world.oracle()
    report = world.run()["dev"]
    assert not report.ok
    assert {change.target.name: change.reason for change in report.changes} == {
        **dict.fromkeys(NAMES[:2], Reason.WOULD_DOWNGRADE),
        NAMES[2]: Reason.IN_SYNC,
        NAMES[3]: Reason.GONE_FROM_SOURCE,
    }
    assert oracle.objections() + oracle.writes_tried() == []
    for secret in older[:2]:
        world.renew(secret)
    world.issue(NAMES[3])
    converges(world, oracle)
