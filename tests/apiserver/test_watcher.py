"""`python -m flows.watch` as a process of its own, beside a Prefect server: what people and kubelet see."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from deployments.sandbox.clusters.api_server import free_port
from deployments.sandbox.world import certificate_resource
from deployments.sandbox.world.cert_manager import SOURCE_NAMESPACE
from tasks.watch.lease import Lease
from tasks.watch.timings import WatchTimings
from tests.soak import grew
from tests.support.clusters import World
from tests.support.fault_proxy import SlowWrites
from tests.support.hook_environment import PASSWORD, guarded_server, rest
from tests.support.spoilt import spoilt_secrets
from tests.support.waiting import PATIENCE, until
from tests.support.watcher_process import HOLD_LEASES, LEASE, LEASES, ROOT, Process, may_watch
from tests.support.watcher_process import watcher as watching_process
from tests.watch_soak import soak

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def prefect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The address and the home of a Prefect server."""
    home = tmp_path_factory.mktemp("prefect")
    with guarded_server(home) as address:
        until("Prefect", lambda: runs(address) is not None)
        yield address, home


@pytest.fixture
def watching(world: World) -> Iterator[World]:
    """tls-sync may watch and hold a Lease, as the chart lets its watcher."""
    with may_watch(world.ops, HOLD_LEASES):
        yield world
    for lease in world.ops.list(LEASES):
        world.ops.delete(f"{LEASES}/{lease['metadata']['name']}")


def watcher(
    directory: Path, api: str, *arguments: str, name: str = "watch"
) -> AbstractContextManager[Process]:
    """Beside a Prefect server that wants a password."""
    return watching_process(
        directory, *arguments, name=name, PREFECT_API_URL=api, PREFECT_API_AUTH_STRING=PASSWORD
    )


def runs(address: str) -> list[dict[str, Any]] | None:
    """The watcher's runs, newest first; None where the server does not answer."""
    try:
        found: list[dict[str, Any]] = rest(address).call(
            "POST", "/flow_runs/filter", {"sort": "START_TIME_DESC"}
        )
    except Exception:  # noqa: BLE001  it is just not there yet
        return None
    return found


def test_a_renewal_is_copied_and_recorded(watching: World, prefect: tuple[str, Path], tmp_path: Path) -> None:
    """What was missed is made up for at the start; each renewal is a run with what triggered it."""
    first, second = watching.issue("web-a-tls", "web-b-tls")
    with watcher(tmp_path, prefect[0]) as started:
        until("the start", lambda: watching.is_everywhere(first) and watching.is_everywhere(second))
        renewed = watching.renew(first)
        until("the renewal", lambda: watching.is_everywhere(renewed))
        until("two records", lambda: len(states(prefect[0])) == 2)
    assert started.process.returncode == 0
    assert states(prefect[0]) == {
        "watch: start": ("Completed", "3 clusters: create 6"),
        "watch: web-a-tls changed": ("Completed", "3 clusters: update 3"),
    }


def states(address: str) -> dict[str, tuple[str, str]]:
    """Of the watcher's runs that have ended."""
    found = [run for run in runs(address) or [] if run["state_type"] == "COMPLETED"]
    return {run["name"]: (run["state"]["name"], run["state"]["message"]) for run in found}


def test_without_prefect_copying_goes_on(watching: World, tmp_path: Path) -> None:
    """The copy does not wait for Prefect's API; once that is there, the record follows."""
    (secret,) = watching.issue("web-tls")
    home = tmp_path / "late"
    home.mkdir()
    port = free_port()
    address = f"http://127.0.0.1:{port}/api"
    with watcher(tmp_path, address) as started:
        until("the start", lambda: watching.is_everywhere(secret))
        renewed = watching.renew(secret)
        until("the renewal", lambda: watching.is_everywhere(renewed))
        assert "web-tls changed: 3 clusters: update 3" in started.said
        with guarded_server(home, port=port):
            until("the records", lambda: {"watch: start", "watch: web-tls changed"} <= states(address).keys())


def test_a_secret_that_can_not_be_examined_costs_itself(watching: World, tmp_path: Path) -> None:
    """Neither at the start nor later does it end the watcher, whether a route names it or not."""
    bad = spoilt_secrets(watching)
    for secret in bad:
        watching.put(secret)
    (secret,) = watching.issue("web-tls")
    with watcher(tmp_path, f"http://127.0.0.1:{free_port()}/api") as started:
        until("the start", lambda: watching.is_everywhere(secret))
        for one in bad:
            watching.put(one)
        renewed = watching.renew(secret)
        until("the renewal", lambda: watching.is_everywhere(renewed))
        assert started.process.poll() is None
    assert started.process.returncode == 0
    assert "Traceback" not in started.said


def test_records_that_can_not_be_written_are_counted(watching: World, tmp_path: Path) -> None:
    """At the end it says how many records are lost, and the copies are there."""
    (secret,) = watching.issue("web-tls")
    with watcher(tmp_path, f"http://127.0.0.1:{free_port()}/api") as started:
        until("the start", lambda: watching.is_everywhere(secret))
    assert started.process.returncode == 0
    assert "records lost: 1" in started.said


def test_a_missing_right_ends_it_with_its_name(
    world: World, prefect: tuple[str, Path], tmp_path: Path
) -> None:
    """Exit status 1, and the last line says which verb is missing where."""
    with watcher(tmp_path, prefect[0]) as started:
        until("its end", lambda: started.process.poll() is not None)
    assert started.process.returncode == 1
    assert f"Forbidden: watch secrets in {SOURCE_NAMESPACE}" in started.said.splitlines()[-1]


def test_one_of_two_acts_and_the_other_takes_over(
    watching: World, prefect: tuple[str, Path], tmp_path: Path
) -> None:
    """Who waits does nothing and is alive; killed, the first is followed by it, and nothing is missed."""
    (secret,) = watching.issue("web-tls")
    with watcher(tmp_path, prefect[0], *LEASE, name="one") as one:
        one.wait_until_it_says("this replica is the leader")
        until("the start", lambda: watching.is_everywhere(secret))
        with watcher(tmp_path, prefect[0], *LEASE, name="two") as two:
            until("a look at the Lease", lambda: two.process.poll() is None and two.metrics)
            assert "this replica is the leader" not in two.said
            one.process.send_signal(signal.SIGKILL)
            one.process.wait(PATIENCE)
            renewed = watching.renew(secret)
            two.wait_until_it_says("this replica is the leader")
            until("the renewal", lambda: watching.is_everywhere(renewed))


def test_it_tells_prometheus_what_it_did(watching: World, prefect: tuple[str, Path], tmp_path: Path) -> None:
    """Successes, copies and the last word of OPS; a cluster that leaves the configuration vanishes."""
    last = 'tls_sync_last_success_timestamp_seconds{cluster="%s",owner="ops"}'
    (secret,) = watching.issue("web-tls")
    with watcher(tmp_path, prefect[0]) as started:
        started.wait_for_its_port()
        until("the start", lambda: all(last % name in started.metrics for name in watching.targets))
        heard = 'tls_sync_watch_last_heard_timestamp_seconds{owner="ops"}'
        until("a sign of life", lambda: heard in started.metrics)
        assert 'tls_sync_api_requests_total{code="201",verb="PATCH"} 3.0' in started.metrics
        watching.configure(clusters=["dev", "rct"])
        watching.renew(secret)
        until("a cluster less", lambda: last % "prd" not in started.metrics)
        assert last % "rct" in started.metrics


def test_nothing_piles_up_over_cut_connections(
    world: World, prefect: tuple[str, Path], tmp_path: Path
) -> None:
    """The short form of the watcher's part of `make soak`: every copy is right in the end."""
    settings = {"PREFECT_API_URL": prefect[0], "PREFECT_API_AUTH_STRING": PASSWORD}
    early, late = soak(world, tmp_path, 200, 5, **settings)
    assert grew(early, late) == []


def test_a_renewal_while_the_configuration_is_broken_is_not_lost(
    watching: World, prefect: tuple[str, Path], tmp_path: Path
) -> None:
    """It is said once, and the copy comes when the configuration is mended."""
    (secret,) = watching.issue("web-tls")
    whole = watching.config_path.read_text()
    with watcher(tmp_path, prefect[0]) as started:
        until("the start", lambda: watching.is_everywhere(secret))
        watching.config_path.write_text("owner: [")
        renewed = watching.renew(secret)
        started.wait_until_it_says("configuration ")
        watching.config_path.write_text(whole)
        until("the renewal", lambda: watching.is_everywhere(renewed))
    assert started.said.count("configuration ") == 1


def test_a_certificate_that_is_ready_a_moment_later_is_copied_then(
    watching: World, cert_manager: World, prefect: tuple[str, Path], tmp_path: Path
) -> None:
    """cert-manager writes the Secret first; no event tells of what it says then, and no run fails for it."""
    (secret,) = watching.issue("web-tls")
    with watcher(tmp_path, prefect[0]) as started:
        until("the start", lambda: watching.is_everywhere(secret))
        unready = certificate_resource.certificate(secret, ready=False, reason="IncorrectIssuer")
        certificate_resource.put(watching.ops, unready)
        renewed = watching.renew(secret)
        time.sleep(2)
        assert not watching.is_everywhere(renewed)
        certificate_resource.put(watching.ops, certificate_resource.certificate(renewed))
        until("the renewal", lambda: watching.is_everywhere(renewed))
        started.wait_until_it_says("web-tls changed: 3 clusters: update 3")
    assert "failed" not in started.said


def test_who_takes_over_reads_the_configuration_of_then(
    watching: World, prefect: tuple[str, Path], tmp_path: Path
) -> None:
    """Broken meanwhile, it ends with its fault instead of holding the Lease and watching nothing."""
    with watcher(tmp_path, prefect[0], *LEASE, name="one") as one:
        one.wait_until_it_says("this replica is the leader")
        with watcher(tmp_path, prefect[0], *LEASE, name="two") as two:
            two.wait_for_its_port()
            watching.config_path.write_text("owner: [")
            one.process.terminate()
            one.process.wait(PATIENCE)
            until("its end", lambda: two.process.poll() is not None)
    assert two.process.returncode == 1
    assert "tls-sync: configuration " in two.said
    assert "Traceback" not in two.said


def test_told_to_stop_while_it_heals_it_begins_no_other_write(
    watching: World, prefect: tuple[str, Path], tmp_path: Path
) -> None:
    """What is under way ends, in a cluster that is tried again as well, and then it is gone."""
    secrets = watching.issue(*(f"web-{number}-tls" for number in range(24)))
    slowly = SlowWrites(2)
    with watching.reached_at("https://127.0.0.1:1"), watcher(tmp_path, prefect[0]) as started:
        started.wait_until_it_says("start: 1 of 3 clusters failed: dev")
        with watching.proxy() as proxy:
            proxy.fault = slowly
            assert slowly.begun.wait(PATIENCE)
            started.process.terminate()
            started.process.wait(PATIENCE)
    assert started.process.returncode == 0
    assert 0 < len(watching.versions()) == len(slowly.paths) < len(secrets)


def test_who_ends_gives_the_lease_back(watching: World, prefect: tuple[str, Path], tmp_path: Path) -> None:
    """After SIGTERM the next one need not wait."""
    with watcher(tmp_path, prefect[0], *LEASE) as started:
        started.wait_until_it_says("this replica is the leader")
    assert started.process.returncode == 0
    (lease,) = watching.ops.list(LEASES)
    assert lease["spec"].get("holderIdentity", "") == ""


def test_a_lease_has_one_holder(watching: World) -> None:
    """Two that ask in turn: the first has it, and the second once the first has been silent for long."""
    one, two = (
        Lease(SOURCE_NAMESPACE, "tls-sync-watch", name, "cluster-ops", timings)
        for name, timings in (("one", WatchTimings()), ("two", WatchTimings(lease_duration=1.0)))
    )
    attempts = [lease.try_acquire_or_renew() for lease in (one, two, one)]
    assert attempts == [True, False, True]
    assert (one.is_leader, two.is_leader) == (True, False)
    assert two.try_acquire_or_renew() is False  # it has changed since
    until("the takeover", two.try_acquire_or_renew)
    (lease,) = watching.ops.list(LEASES)
    assert (lease["spec"]["holderIdentity"], lease["spec"]["leaseTransitions"]) == ("two", 1)
    assert one.try_acquire_or_renew() is False


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--lease=nonsense"], "NAMESPACE/NAME is expected"),
        (["--lease=a/b/c"], "NAMESPACE/NAME is expected"),
        (["--lease=a/.."], "NAMESPACE/NAME is expected"),
        (["--lease-context=ops"], "goes with --lease"),
        (["--port=x"], "invalid int value"),
        (["--port=99999"], "0 to 65535"),
    ],
)
def test_wrong_arguments_are_named(arguments: list[str], words: str) -> None:
    """Said at once, before anything is asked of a cluster."""
    done = subprocess.run(
        [sys.executable, "-m", "flows.watch", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert words in done.stderr
