"""The flow with its tasks on a real Dask cluster, whose workers are processes of their own."""

import base64
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Scheduled

from deployments.sandbox.clusters.api_server import free_port
from flows.tls_sync import tls_sync
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import RunReport
from tasks.orchestration import remote_waiter
from tests.apiserver.test_prune import GONE, NAMES, age, configure, grant, take_away
from tests.support.clusters import TARGETS, Manifest, World
from tests.support.dask_cluster import DaskCluster
from tests.support.fault_proxy import Answer, Forward, Request, SlowWrites
from tests.support.prefect_command import ROOT, environment, make_pool, prefect
from tests.support.secret_scan import found_below, found_in
from tests.support.tcp_proxy import TcpProxy
from tests.support.waiting import until

pytestmark = [pytest.mark.apiserver, pytest.mark.usefixtures("prefect_server", "no_waiting")]

COUNT = 24
KUBECONFIG = "kubeconfig"
"""Where workers look: a link to that of the test."""


@pytest.fixture(scope="module")
def given(prefect_server: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of workers: no configuration, which travels with an order."""
    home = tmp_path_factory.mktemp("dask")
    variables = {"TMPDIR": str(home), "PREFECT_LOGGING_LEVEL": "DEBUG"}
    made = environment(prefect_server, KUBECONFIG=str(home / KUBECONFIG), **variables)
    made.pop("TLS_SYNC_CONFIG", None)
    return made


def home_of(given: dict[str, str]) -> Path:
    return Path(given["TMPDIR"])


@pytest.fixture(scope="module")
def shared(given: dict[str, str]) -> Iterator[DaskCluster]:
    """A scheduler and two workers, for all tests that leave them alive."""
    with DaskCluster(home_of(given), given) as cluster:
        yield cluster


def attach(world: World, cluster: DaskCluster, given: dict[str, str]) -> None:
    place = home_of(given) / KUBECONFIG
    place.unlink(missing_ok=True)
    place.symlink_to(world.kubeconfig)
    choose(world, cluster.address)


def choose(world: World, address: str) -> None:
    world.edit_config(lambda document: document.update(taskRunner={"type": "dask", "address": address}))


@pytest.fixture
def dask(world: World, shared: DaskCluster, given: dict[str, str]) -> DaskCluster:
    """The world, served by those workers."""
    attach(world, shared, given)
    return shared


@pytest.fixture
def mortal(
    world: World, given: dict[str, str], tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[DaskCluster]:
    """One that a test may kill: of one worker, of which a task survives so many losses."""
    losses = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": str(getattr(request, "param", 0))}
    with DaskCluster(tmp_path, given | losses, workers=1) as cluster:
        attach(world, cluster, given)
        yield cluster


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> list[RunReport]:
    """Those of the runs of a test."""
    found: list[RunReport] = []
    publish = tls_sync.fn.__globals__["publish"]

    def keep(report: RunReport) -> None:
        found.append(report)
        publish(report)

    monkeypatch.setitem(tls_sync.fn.__globals__, "publish", keep)
    return found


def run(**parameters: Any) -> State[Any]:
    return tls_sync(**parameters, return_state=True)


def served(world: World, since: dict[str, int]) -> Counter[tuple[str, str]]:
    """What API servers say that they answered, by verb of HTTP and status."""
    verbs = {"list": "GET", "get": "GET", "create": "POST", "patch": "PATCH", "delete": "DELETE"}
    log = [one for name, position in since.items() for one in world.requests(name, position)]
    return Counter((verbs[one["verb"]], str(one["responseStatus"]["code"])) for one in log)


def positions(world: World) -> dict[str, int]:
    return {name: world.log_position(name) for name in ("ops", *TARGETS)}


def told(report: RunReport) -> dict[tuple[str, str], int]:
    return {(one.verb, one.code): one.count for one in report.requests}


def test_certificates_arrive_by_way_of_several_workers(
    world: World, dask: DaskCluster, reports: list[RunReport]
) -> None:
    """Each copy is what OPS has, more than one worker had a part in it, and every request is counted once."""
    secrets = world.issue("web-tls", "web-2-tls")
    since = positions(world)
    state = run()
    assert (state.is_completed(), state.message) == (True, "3 clusters: create 6")
    assert all(world.is_everywhere(secret) for secret in secrets)
    assert told(reports[0]) == served(world, since)
    assert all(dask.served_by().values()), dask.served_by()
    since = positions(world)
    assert run().message == "3 clusters: keep 6"
    assert told(reports[1]) == served(world, since)


def test_every_attempt_is_counted(world: World, dask: DaskCluster, reports: list[RunReport]) -> None:
    """Where a worker tries a cluster twice, its report counts the writes and the requests of both, once."""
    world.issue("web-tls", "web-2-tls")
    world.edit_config(lambda document: document.update(clusters=document["clusters"][:1]))
    refused = 3

    def throttle_at_first(request: Request, forward: Forward) -> Answer:
        nonlocal refused
        if request.method == "PATCH" and "web-2-tls" in request.path and refused:
            refused -= 1
            return Answer(429)
        return forward()

    since = positions(world)
    with world.proxy() as proxy:
        proxy.fault = throttle_at_first
        state = run()
    assert (state.is_completed(), state.message) == (True, "1 cluster: create 2")
    assert told(reports[0]) == served(world, since) | {("PATCH", "429"): 3}


def test_workers_prune(
    world: World, dask: DaskCluster, given: dict[str, str], reports: list[RunReport]
) -> None:
    """What has long been gone from OPS is deleted by a worker, too, and its requests are counted."""
    configure(world, "dev")
    attach(world, dask, given)
    grant(world, "dev")
    world.issue(*NAMES)
    assert run().is_completed()
    take_away(world, GONE)
    age(world)
    since = positions(world)
    state = run()
    assert state.is_completed(), state.message
    assert world.copy(GONE) is None
    assert told(reports[-1]) == served(world, since)
    assert any("prune-dev" in dask.log(f"worker-{number}") for number in range(2))


def test_a_resumed_run_repeats_only_what_is_unfinished(
    world: World, dask: DaskCluster, reports: list[RunReport]
) -> None:
    """Finished clusters are not asked again, nor counted again; the others are served."""
    world.issue("web-tls")
    with world.down("rct"):
        first = run()
    assert first.message is not None
    assert first.message.startswith("1 of 3 clusters failed: rct (Unreachable: ")
    since = positions(world)
    assert resume(first).message == "3 clusters: create 3"
    assert world.requests("dev", since["dev"]) == []
    assert told(reports[1]) == served(world, since)


def resume(state: State[Any]) -> State[Any]:
    from prefect.flow_engine import run_flow  # noqa: PLC0415

    run_id = state.state_details.flow_run_id
    assert run_id
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(run_id, Scheduled(), force=True)
        again = client.read_flow_run(run_id)
    final: State[Any] = run_flow(tls_sync, flow_run=again, parameters={}, return_type="state")  # type: ignore[assignment]
    return final


def start(given: dict[str, str]) -> subprocess.Popen[str]:
    """A run in a process of its own."""
    own = {name: os.environ[name] for name in ("TLS_SYNC_CONFIG", "KUBECONFIG")}
    return subprocess.Popen(
        [sys.executable, "-m", "flows"],
        cwd=ROOT,
        env=given | own,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_a_run_that_is_told_to_stop_stops_its_workers(
    world: World, dask: DaskCluster, given: dict[str, str]
) -> None:
    """Writes under way end, no other begins, what waits for a worker never begins, and the report says so."""
    world.issue(*(f"web-{number}-tls" for number in range(COUNT)))
    slowly = SlowWrites(3)
    with world.proxy() as proxy:
        proxy.fault = slowly
        process = start(given)
        assert slowly.begun.wait(120)
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGTERM, output
    written = len(world.versions())
    assert 0 < written == len(slowly.paths) < COUNT, output
    assert f"Interrupted: write {COUNT - written} of {COUNT} secrets" in output
    assert f"dev      {written}" in output
    assert run().is_completed(), "the next run is not stopped, too"


@pytest.mark.e2e
def test_a_run_of_a_deployment_is_served_as_well(
    world: World, dask: DaskCluster, given: dict[str, str]
) -> None:
    """There, the flow is loaded from its file, and is no module that a worker could import."""
    (secret,) = world.issue("web-tls")
    own = given | {name: os.environ[name] for name in ("TLS_SYNC_CONFIG", "KUBECONFIG")}
    make_pool(own)
    deployed = prefect("deploy", "--all", "--prefect-file", "prefect.yaml", env=own)
    assert deployed.returncode == 0, deployed.stdout + deployed.stderr
    made = prefect("deployment", "run", "tls-sync/ops", env=own)
    (run_id,) = re.findall(r"UUID: (\S+)", made.stdout)
    done = prefect("flow-run", "execute", run_id, env=own)
    assert "3 clusters: create 3" in done.stdout + done.stderr
    assert world.is_everywhere(secret)


@pytest.mark.e2e  # as the other long ones here: `make e2e` runs it
def test_tasks_that_wait_for_a_worker_do_not_begin_after_a_stop(
    world: World, given: dict[str, str], tmp_path: Path
) -> None:
    """With one thread for three clusters, the two that wait are never asked."""
    world.issue(*(f"web-{number}-tls" for number in range(COUNT)))
    slowly = SlowWrites(3)
    with DaskCluster(tmp_path, given, workers=1, threads=1) as cluster, world.proxy() as proxy:
        attach(world, cluster, given)
        proxy.fault = slowly
        since = positions(world)
        process = start(given)
        assert slowly.begun.wait(120)
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=60)
        until("the worker is idle", lambda: cluster.log("worker-0").count("Finished in state") >= 1)
    assert "Interrupted" in output
    assert world.requests("rct", since["rct"]) == world.requests("prd", since["prd"]) == []


@pytest.mark.e2e
def test_workers_hear_of_a_run_that_is_over(world: World, dask: DaskCluster, given: dict[str, str]) -> None:
    """A run that was killed tells nobody; once Prefect knows that it is over, its tasks end."""
    world.configure(clusters=["dev"])
    choose(world, dask.address)
    world.issue(*(f"web-{number}-tls" for number in range(COUNT)))
    slowly = SlowWrites(3)
    with world.proxy() as proxy:
        proxy.fault = slowly
        process = start(given)
        assert slowly.begun.wait(120)
        process.kill()
        process.communicate()
        with get_client(sync_client=True) as client:
            (latest,) = client.read_flow_runs(limit=1, sort="START_TIME_DESC")  # type: ignore[arg-type]
            client.set_flow_run_state(latest.id, Cancelled(), force=True)
        until("the write that was the last", lambda: len(world.versions()) == len(slowly.paths) > 0)
    assert len(slowly.paths) < COUNT


def with_a_worker_killed(world: World, cluster: DaskCluster) -> State[Any]:
    """A run in which a worker dies at its first write to DEV; another one is there by then."""
    worker = cluster.workers[0]

    def kill(request: Request, forward: Forward) -> Answer:
        if request.method == "PATCH" and worker.poll() is None:
            cluster.add_worker()
            worker.kill()
            worker.wait()
        return forward()

    with world.proxy() as proxy:
        proxy.fault = kill
        return run()


@pytest.mark.e2e
def test_a_worker_that_dies_costs_what_it_was_at(world: World, mortal: DaskCluster) -> None:
    """A task that does not survive it is a failure of its cluster; another worker serves the others."""
    world.issue("web-tls")
    state = with_a_worker_killed(world, mortal)
    assert state.is_failed()
    assert state.message is not None
    assert "dev (WorkerLost: run task sync-dev: " in state.message
    assert run().is_completed()


@pytest.mark.e2e
@pytest.mark.parametrize("mortal", [3], indirect=True, ids=["as Dask has it"])
def test_another_worker_takes_over(world: World, mortal: DaskCluster) -> None:
    """As Dask is by default, a worker that dies costs nothing where there is another one."""
    (secret,) = world.issue("web-tls")
    state = with_a_worker_killed(world, mortal)
    assert state.is_completed()
    assert world.is_everywhere(secret)


@pytest.mark.e2e
def test_a_scheduler_that_dies_does_not_keep_the_run(world: World, mortal: DaskCluster) -> None:
    """What was not reported by then is a failure of its cluster, and the run ends within a minute."""
    world.issue("web-tls")

    def kill(request: Request, forward: Forward) -> Answer:
        if request.method == "PATCH":
            mortal.scheduler.kill()
        return forward()

    began = time.monotonic()
    with world.proxy() as proxy:
        proxy.fault = kill
        state = run()
    assert time.monotonic() - began < 60
    assert state.message is not None
    assert "dev (WorkerLost: run task sync-dev: " in state.message


def test_a_scheduler_that_has_no_worker_left_does_not_keep_the_run(
    world: World, given: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the only worker dies of an order that it can't read: said, and given up after minutes."""
    world.issue("web-tls")
    monkeypatch.setattr(remote_waiter, "COUNT_SECONDS", 0.2)
    monkeypatch.setattr(remote_waiter, "NO_WORKER_SECONDS", 3.0)
    without = given | {"PYTHONPATH": str(tmp_path), "PYTHONSAFEPATH": "1"}
    with DaskCluster(tmp_path / "dask", given, workers=0) as cluster:
        cluster._environment = without  # of the worker alone: tls-sync is not installed there
        cluster.add_worker()
        attach(world, cluster, given)
        state = run(cluster="dev")
        worker = cluster.log("worker-0")
    assert "No module named 'tasks'" in worker
    assert state.message is not None
    assert "dev (WorkerLost: run task sync-dev: " in state.message
    assert "(no worker for 3 s)" in state.message
    assert world.copy("web-tls") is None


def test_a_workers_own_kubeconfig_is_blamed_by_its_host(
    world: World, given: dict[str, str], tmp_path: Path, reports: list[RunReport]
) -> None:
    """Whoever reads the report is not to mend the kubeconfig of the run, which is fine."""
    elsewhere = given | {"KUBECONFIG": str(tmp_path / "nowhere")}
    with DaskCluster(tmp_path / "dask", elsewhere, workers=1) as cluster:
        attach(world, cluster, given)
        run(cluster="dev")
    (found,) = reports[-1].clusters
    assert [failure.code for failure in found.failures] == [FailureCode.KUBECONFIG]
    assert f"served by the worker on {socket.gethostname()}" in found.warnings


def test_no_scheduler_no_run(world: World) -> None:
    """Where nobody answers at the address, the run is Failed in seconds, says so, and has read nothing."""
    world.issue("web-tls")
    address = f"tcp://127.0.0.1:{free_port()}"
    choose(world, address)
    since = positions(world)
    state = run()
    assert state.is_failed()
    assert state.message is not None
    assert f"taskRunner.address: Dask's scheduler does not answer at {address} (" in state.message
    assert served(world, since) == {}


def test_a_scheduler_that_says_nothing_is_not_waited_for(world: World) -> None:
    """Dask's own client would wait for ever for who takes the connection and is silent."""
    world.issue("web-tls")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        choose(world, address)
        state = run()
    assert state.is_failed()
    assert f"Dask's scheduler does not answer at {address} (TimeoutError)" in str(state.message)


def test_no_key_travels_between_flow_and_workers(
    world: World, given: dict[str, str], prefect_server: Path, tmp_path: Path
) -> None:
    """No key and no token passes the scheduler, as orders and reports do; none is left in any file."""
    secrets = [*world.issue("web-tls"), *world.issue("web-rsa-tls", key="rsa")]
    relay, plain = TcpProxy(0, keep=True), {"DASK_DISTRIBUTED__COMM__COMPRESSION": "false"}
    with DaskCluster(tmp_path / "dask", given | plain, relay=relay) as cluster:
        attach(world, cluster, given)
        assert run().message == "3 clusters: create 6"
        with world.down("rct"):
            assert run().is_failed()
        assert all(cluster.served_by().values())
    assert all(world.is_everywhere(secret) for secret in secrets)
    keys, overheard = canaries(world, *secrets), bytes(relay.kept)
    for expected in (b"web-rsa-tls", b"MissingOnTarget", b"Unreachable"):
        assert expected in overheard, "orders and reports are read here"
    assert found_in(overheard, keys) == set()
    assert found_below(tmp_path / "dask", keys) == found_below(prefect_server, keys) == {}


def canaries(world: World, *secrets: Manifest) -> dict[str, bytes]:
    keys = {one["metadata"]["name"]: base64.b64decode(one["data"]["tls.key"]) for one in secrets}
    users = yaml.safe_load(world.kubeconfig.read_text())["users"]
    return keys | {f"token of {user['name']}": user["user"]["token"].encode() for user in users}
