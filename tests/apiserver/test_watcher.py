"""`python -m flows.watch` as a process beside a Prefect server: output, records and exit status."""

import signal
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
from tests.support.hook_environment import PASSWORD, guarded_server
from tests.support.prefect_command import http_client
from tests.support.spoilt import spoilt_secrets
from tests.support.waiting import PATIENCE, until
from tests.support.watcher_process import HOLD_LEASES, LEASE, LEASES, Process, may_watch
from tests.support.watcher_process import watcher as watching_process
from tests.watch_soak import VARIES, soak

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
    """tls-sync may watch and hold a Lease, as the chart allows its watcher."""
    with may_watch(world.ops, HOLD_LEASES):
        yield world
    for lease in world.ops.list(LEASES):
        world.ops.delete(f"{LEASES}/{lease['metadata']['name']}")


def watcher(
    directory: Path, api: str, *arguments: str, name: str = "watch"
) -> AbstractContextManager[Process]:
    """Run it beside a Prefect server that requires a password."""
    return watching_process(
        directory, *arguments, name=name, PREFECT_API_URL=api, PREFECT_API_AUTH_STRING=PASSWORD
    )


def runs(address: str) -> list[dict[str, Any]] | None:
    """Return the watcher's runs, newest first; None if the server does not answer."""
    try:
        newest_first = {"sort": "START_TIME_DESC"}
        found: list[dict[str, Any]]
        found = http_client(address, PASSWORD).post("/flow_runs/filter", json=newest_first).json()
    except Exception:  # noqa: BLE001  the server has not started yet
        return None
    return found


def test_a_renewal_is_copied_and_recorded(watching: World, prefect: tuple[str, Path], tmp_path: Path) -> None:
    """The start copies what was missed, and each renewal is a flow run that names its trigger."""
    first, second = watching.issue("web-a-tls", "web-b-tls")
    with watcher(tmp_path, prefect[0]) as started:
        until("the start", lambda: watching.is_everywhere(first) and watching.is_everywhere(second))
        until("its record", lambda: len(states(prefect[0])) == 1)  # else both would be one
        renewed = watching.renew(first)
        until("the renewal", lambda: watching.is_everywhere(renewed))
        until("two records", lambda: len(states(prefect[0])) == 2)
    assert started.process.returncode == 0
    assert states(prefect[0]) == {
        "watch: start": ("Completed", "3 clusters: create 6"),
        "watch: web-a-tls changed": ("Completed", "3 clusters: update 3"),
    }


def states(address: str) -> dict[str, tuple[str, str]]:
    """Return name and message of the state of each completed run of the watcher."""
    found = [run for run in runs(address) or [] if run["state_type"] == "COMPLETED"]
    return {run["name"]: (run["state"]["name"], run["state"]["message"]) for run in found}


def test_copying_does_not_need_prefect(watching: World, tmp_path: Path) -> None:
    """Copies do not wait for Prefect's API; one record of all follows once it answers."""
    (secret,) = watching.issue("web-tls")
    home = tmp_path / "late"
    home.mkdir()
    port = free_port()
    address = f"http://127.0.0.1:{port}/api"
    with watcher(tmp_path, address) as started:
        until("the start", lambda: watching.is_everywhere(secret))
        renewed = watching.renew(secret)
        until("the renewal", lambda: watching.is_everywhere(renewed))
        assert "web-tls changed: 3 clusters: update 3" in started.output
        with guarded_server(home, port=port):
            until("the record", lambda: states(address))
            assert states(address) == {"watch: start, web-tls changed": ("Completed", "3 clusters: update 3")}


def test_a_secret_that_cannot_be_checked_ends_nothing(watching: World, tmp_path: Path) -> None:
    """Whether a route names it or not, neither the watcher ends nor any other certificate is left out."""
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
    assert "Traceback" not in started.output


def test_records_that_cannot_be_written_are_counted(watching: World, tmp_path: Path) -> None:
    """Without Prefect's API the copies are written, and the last line counts the lost records."""
    (secret,) = watching.issue("web-tls")
    with watcher(tmp_path, f"http://127.0.0.1:{free_port()}/api") as started:
        until("the start", lambda: watching.is_everywhere(secret))
    assert started.process.returncode == 0
    assert "records lost: 1" in started.output


def test_a_missing_permission_ends_it(world: World, prefect: tuple[str, Path], tmp_path: Path) -> None:
    """The exit status is 1, and the last line names the verb and the namespace."""
    with watcher(tmp_path, prefect[0]) as started:
        until("its end", lambda: started.process.poll() is not None)
    assert started.process.returncode == 1
    assert f"Forbidden: watch secrets in {SOURCE_NAMESPACE}" in started.output.splitlines()[-1]


def test_a_standby_takes_over_from_a_killed_leader(
    watching: World, prefect: tuple[str, Path], tmp_path: Path
) -> None:
    """A standby copies nothing and is healthy; once the leader is killed, it copies what changes then."""
    (secret,) = watching.issue("web-tls")
    with watcher(tmp_path, prefect[0], *LEASE, name="one") as one:
        one.wait_for_output("this replica is the leader")
        until("the start", lambda: watching.is_everywhere(secret))
        with watcher(tmp_path, prefect[0], *LEASE, name="two") as two:
            until("the second replica", lambda: two.process.poll() is None and two.metrics)
            assert "this replica is the leader" not in two.output
            one.process.send_signal(signal.SIGKILL)
            one.process.wait(PATIENCE)
            renewed = watching.renew(secret)
            two.wait_for_output("this replica is the leader")
            until("the renewal", lambda: watching.is_everywhere(renewed))


def test_it_serves_metrics_of_what_it_did(watching: World, prefect: tuple[str, Path], tmp_path: Path) -> None:
    """Successes, requests and the last activity of OPS are there; a removed cluster's series vanish."""
    last = 'tls_sync_last_success_timestamp_seconds{cluster="%s",owner="ops"}'
    (secret,) = watching.issue("web-tls")
    with watcher(tmp_path, prefect[0]) as started:
        started.wait_until_ready()
        until("the start", lambda: all(last % name in started.metrics for name in watching.targets))
        last_activity = 'tls_sync_watch_last_heard_timestamp_seconds{owner="ops"}'
        until("a sign of life", lambda: last_activity in started.metrics)
        assert 'tls_sync_api_requests_total{code="201",verb="PATCH"} 3.0' in started.metrics
        watching.configure(clusters=["dev", "rct"])
        watching.renew(secret)
        until("a cluster less", lambda: last % "prd" not in started.metrics)
        assert last % "rct" in started.metrics


def test_cut_connections_leak_nothing(world: World, prefect: tuple[str, Path], tmp_path: Path) -> None:
    """A short form of `make soak`: every copy is right in the end, and neither memory nor files grow."""
    settings = {"PREFECT_API_URL": prefect[0], "PREFECT_API_AUTH_STRING": PASSWORD}
    early, late = soak(world, tmp_path, 200, 5, **settings)
    assert grew(early, late, VARIES) == []


def test_a_renewal_while_the_configuration_is_broken_is_not_lost(
    watching: World, prefect: tuple[str, Path], tmp_path: Path
) -> None:
    """The error is logged once, and the copy is written when the configuration is valid again."""
    (secret,) = watching.issue("web-tls")
    whole = watching.config_path.read_text()
    with watcher(tmp_path, prefect[0]) as started:
        until("the start", lambda: watching.is_everywhere(secret))
        watching.config_path.write_text("owner: [")
        renewed = watching.renew(secret)
        started.wait_for_output("configuration ")
        watching.config_path.write_text(whole)
        until("the renewal", lambda: watching.is_everywhere(renewed))
    assert started.output.count("configuration ") == 1


def test_a_certificate_that_becomes_ready_a_moment_later_is_copied(
    watching: World, cert_manager: World, prefect: tuple[str, Path], tmp_path: Path
) -> None:
    """cert-manager writes the Secret before the status; the watcher checks again, and reports no failure."""
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
        started.wait_for_output("web-tls changed: 3 clusters: update 3")
    assert "failed" not in started.output


def test_a_standby_reads_the_configuration_when_it_takes_over(
    watching: World, prefect: tuple[str, Path], tmp_path: Path
) -> None:
    """If the configuration has become invalid, it ends with the error instead of holding the Lease."""
    with watcher(tmp_path, prefect[0], *LEASE, name="one") as one:
        one.wait_for_output("this replica is the leader")
        with watcher(tmp_path, prefect[0], *LEASE, name="two") as two:
            two.wait_until_ready()
            watching.config_path.write_text("owner: [")
            one.process.terminate()
            one.process.wait(PATIENCE)
            until("its end", lambda: two.process.poll() is not None)
    assert two.process.returncode == 1
    assert "tls-sync: configuration " in two.output
    assert "Traceback" not in two.output


def test_a_stop_during_a_retry_begins_no_other_write(
    watching: World, prefect: tuple[str, Path], tmp_path: Path
) -> None:
    """Writes under way end, also those of a retried cluster, and the exit status is 0."""
    secrets = watching.issue(*(f"web-{number}-tls" for number in range(24)))
    slow_writes = SlowWrites(2)
    with watching.reached_at("https://127.0.0.1:1"), watcher(tmp_path, prefect[0]) as started:
        started.wait_for_output("start: 1 of 3 clusters failed: dev")
        with watching.proxy() as proxy:
            proxy.fault = slow_writes
            assert slow_writes.begun.wait(PATIENCE)
            started.process.terminate()
            started.process.wait(PATIENCE)
    assert started.process.returncode == 0
    assert 0 < len(watching.versions()) == len(slow_writes.paths) < len(secrets)


def test_sigterm_releases_the_lease(watching: World, prefect: tuple[str, Path], tmp_path: Path) -> None:
    """After SIGTERM the Lease has no holder, so that the next replica does not wait."""
    with watcher(tmp_path, prefect[0], *LEASE) as started:
        started.wait_for_output("this replica is the leader")
    assert started.process.returncode == 0
    (lease,) = watching.ops.list(LEASES)
    assert lease["spec"].get("holderIdentity", "") == ""


def test_a_lease_has_one_holder(watching: World) -> None:
    """The first replica has the Lease, and the second one once it saw no renewal for the Lease's duration."""
    one, two = (
        Lease(SOURCE_NAMESPACE, "tls-sync-watch", name, "cluster-ops", timings)
        for name, timings in (("one", WatchTimings()), ("two", WatchTimings(lease_duration=1.0)))
    )
    attempts = [lease.try_acquire_or_renew() for lease in (one, two, one)]
    assert attempts == [True, False, True]
    assert (one.is_leader, two.is_leader) == (True, False)
    assert two.try_acquire_or_renew() is False  # the first has renewed it since
    until("the takeover", two.try_acquire_or_renew)
    (lease,) = watching.ops.list(LEASES)
    assert (lease["spec"]["holderIdentity"], lease["spec"]["leaseTransitions"]) == ("two", 1)
    assert one.try_acquire_or_renew() is False
