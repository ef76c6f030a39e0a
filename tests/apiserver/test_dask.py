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
from flows.execute import VARIABLE
from flows.tls_sync import tls_sync
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import RunReport
from tasks.orchestration import remote_waiter
from tests.apiserver.test_prune import GONE, NAMES, age, configure, grant, take_away
from tests.apiserver.test_served import wait_for
from tests.benchmarks.flow_process import POD
from tests.support.clusters import TARGETS, Manifest, World
from tests.support.dask_cluster import DaskCluster
from tests.support.fault_proxy import Answer, Forward, Request, SlowWrites
from tests.support.ingress import ingress
from tests.support.prefect_command import ROOT, environment, make_pool, prefect
from tests.support.secret_scan import found_below, found_in
from tests.support.tcp_proxy import TcpProxy
from tests.support.waiting import until

pytestmark = [pytest.mark.apiserver, pytest.mark.usefixtures("prefect_server", "no_waiting")]

COUNT = 24
KUBECONFIG = "kubeconfig"
"""Name of the workers' kubeconfig, a link to that of the test."""


@pytest.fixture(scope="module")
def given(prefect_server: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of workers, without a configuration: that is part of each SyncSpec."""
    home = tmp_path_factory.mktemp("dask")
    variables = {"TMPDIR": str(home), "PREFECT_LOGGING_LEVEL": "DEBUG"}
    made = environment(prefect_server, KUBECONFIG=str(home / KUBECONFIG), **variables)
    made.pop("TLS_SYNC_CONFIG", None)
    return made


def home_of(given: dict[str, str]) -> Path:
    return Path(given["TMPDIR"])


@pytest.fixture(scope="module")
def shared(given: dict[str, str]) -> Iterator[DaskCluster]:
    """A scheduler and two workers, for the tests that do not kill them."""
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
    """The shared cluster, with the kubeconfig and configuration of this world."""
    attach(world, shared, given)
    return shared


@pytest.fixture
def mortal(
    world: World, given: dict[str, str], tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[DaskCluster]:
    """A cluster to kill, with one worker; the parameter says how many lost workers a task survives."""
    losses = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": str(getattr(request, "param", 0))}
    with DaskCluster(tmp_path, given | losses, workers=1) as cluster:
        attach(world, cluster, given)
        yield cluster


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> list[RunReport]:
    """The reports of the runs of a test."""
    found: list[RunReport] = []
    publish = tls_sync.fn.__globals__["publish"]

    def record(report: RunReport) -> None:
        found.append(report)
        publish(report)

    monkeypatch.setitem(tls_sync.fn.__globals__, "publish", record)
    return found


def run(**parameters: Any) -> State[Any]:
    return tls_sync(**parameters, return_state=True)


def served(world: World, since: dict[str, int]) -> Counter[tuple[str, str]]:
    """Return the number of responses by HTTP method and status, from the audit logs of the API servers."""
    verbs = {"list": "GET", "get": "GET", "create": "POST", "patch": "PATCH", "delete": "DELETE"}
    log = [one for name, position in since.items() for one in world.requests(name, position)]
    return Counter((verbs[one["verb"]], str(one["responseStatus"]["code"])) for one in log)


def positions(world: World) -> dict[str, int]:
    return {name: world.log_position(name) for name in ("ops", *TARGETS)}


def counted(report: RunReport) -> dict[tuple[str, str], int]:
    return {(one.verb, one.code): one.count for one in report.requests}


def test_certificates_arrive_by_way_of_several_workers(
    world: World, dask: DaskCluster, reports: list[RunReport]
) -> None:
    """All copies arrive, each worker has served a cluster, and each request is counted once."""
    secrets = world.issue("web-tls", "web-2-tls")
    since = positions(world)
    state = run()
    assert (state.is_completed(), state.message) == (True, "3 clusters: create 6")
    assert all(world.is_everywhere(secret) for secret in secrets)
    assert counted(reports[0]) == served(world, since)
    assert all(dask.served_by().values()), dask.served_by()
    since = positions(world)
    assert run().message == "3 clusters: keep 6"
    assert counted(reports[1]) == served(world, since)


def test_waves_that_wait_for_what_is_served_are_looked_at_by_the_run(
    world: World, dask: DaskCluster, reports: list[RunReport]
) -> None:
    """Workers say what is to be served, and the run looks; a cluster that is served twice is counted once."""
    (secret,) = world.issue("web-tls")
    with ingress(lambda: world.copy("web-tls")) as server:
        server.reloads_after = 1
        wait_for(world, server.address)
        since = positions(world)
        assert run().message == "3 clusters: create 3"
    assert world.is_everywhere(secret)
    assert server.handshakes == 2
    assert counted(reports[0]) == served(world, since)


def test_every_attempt_is_counted(world: World, dask: DaskCluster, reports: list[RunReport]) -> None:
    """The report of a retried cluster counts the writes and requests of both attempts, each once."""
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
    assert counted(reports[0]) == served(world, since) | {("PATCH", "429"): 3}


def test_workers_prune(
    world: World, dask: DaskCluster, given: dict[str, str], reports: list[RunReport]
) -> None:
    """A worker deletes the copy of a certificate that is gone from OPS, and its requests are counted."""
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
    assert counted(reports[-1]) == served(world, since)
    assert any("prune-dev" in dask.log(f"worker-{number}") for number in range(2))


def test_a_resumed_run_repeats_only_what_is_unfinished(
    world: World, dask: DaskCluster, reports: list[RunReport]
) -> None:
    """Finished clusters get no request, and theirs are not counted again; the others are served."""
    world.issue("web-tls")
    with world.down("rct"):
        first = run()
    assert first.message is not None
    assert first.message.startswith("1 of 3 clusters failed: rct (Unreachable: ")
    since = positions(world)
    assert resume(first).message == "3 clusters: create 3"
    assert world.requests("dev", since["dev"]) == []
    assert counted(reports[1]) == served(world, since)


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
    """Start a run as a process of its own."""
    own = {name: os.environ[name] for name in ("TLS_SYNC_CONFIG", "KUBECONFIG")}
    return subprocess.Popen(
        [sys.executable, "-m", "flows"],
        cwd=ROOT,
        env=given | own,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_a_stopped_run_stops_its_tasks_on_workers(
    world: World, dask: DaskCluster, given: dict[str, str]
) -> None:
    """Writes in progress finish, no other starts, and the report counts both."""
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
    """A deployment loads the flow from its file, so that workers can't import it as a module."""
    (secret,) = world.issue("web-tls")
    own = given | {name: os.environ[name] for name in ("TLS_SYNC_CONFIG", "KUBECONFIG")}
    make_pool(own)
    deployed = prefect("deploy", "--all", "--prefect-file", "prefect.yaml", env=own)
    assert deployed.returncode == 0, deployed.stdout + deployed.stderr
    made = prefect("deployment", "run", "tls-sync/ops", env=own)
    (run_id,) = re.findall(r"UUID: (\S+)", made.stdout)
    command, as_in_a_pod = [sys.executable, *POD], own | {VARIABLE: run_id}
    done = subprocess.run(command, cwd=ROOT, env=as_in_a_pod, capture_output=True, text=True, check=False)
    assert "3 clusters: create 3" in done.stdout + done.stderr
    assert world.is_everywhere(secret)


@pytest.mark.e2e  # as the other long ones here: `make e2e` runs it
def test_tasks_that_wait_for_a_worker_do_not_start_after_a_stop(
    world: World, given: dict[str, str], tmp_path: Path
) -> None:
    """With one thread for three clusters, the two that wait get no request."""
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
def test_workers_stop_tasks_of_a_run_that_was_killed(
    world: World, dask: DaskCluster, given: dict[str, str]
) -> None:
    """A killed run sets no label; its tasks end once its state in Prefect is final."""
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
def test_a_worker_that_dies_fails_its_cluster(world: World, mortal: DaskCluster) -> None:
    """A task that is not retried after the loss fails its cluster; another worker serves the others."""
    world.issue("web-tls")
    state = with_a_worker_killed(world, mortal)
    assert state.is_failed()
    assert state.message is not None
    assert "dev (WorkerLost: run task sync-dev: " in state.message
    assert run().is_completed()


@pytest.mark.e2e
@pytest.mark.parametrize("mortal", [3], indirect=True, ids=["as Dask has it"])
def test_another_worker_takes_over(world: World, mortal: DaskCluster) -> None:
    """With Dask's default, another worker takes over the task of a worker that dies."""
    (secret,) = world.issue("web-tls")
    state = with_a_worker_killed(world, mortal)
    assert state.is_completed()
    assert world.is_everywhere(secret)


@pytest.mark.e2e
def test_a_scheduler_that_dies_does_not_keep_the_run(world: World, mortal: DaskCluster) -> None:
    """Clusters without a report fail with WorkerLost, and the run ends within a minute."""
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
    """If the only worker dies of a task that it can't import, the run gives up after NO_WORKER_SECONDS."""
    world.issue("web-tls")
    monkeypatch.setattr(remote_waiter, "COUNT_SECONDS", 0.2)
    monkeypatch.setattr(remote_waiter, "NO_WORKER_SECONDS", 3.0)
    # Python looks there first; `make .venv/ready` has installed tls-sync for the interpreter of the tests.
    (tmp_path / "tasks.py").write_text("raise ModuleNotFoundError(\"No module named 'tasks'\")\n")
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


def test_a_failure_on_a_worker_names_its_host(
    world: World, given: dict[str, str], tmp_path: Path, reports: list[RunReport]
) -> None:
    """The report names the worker's host, so that nobody looks for the fault in the run's kubeconfig."""
    elsewhere = given | {"KUBECONFIG": str(tmp_path / "nowhere")}
    with DaskCluster(tmp_path / "dask", elsewhere, workers=1) as cluster:
        attach(world, cluster, given)
        run(cluster="dev")
    (found,) = reports[-1].clusters
    assert [failure.code for failure in found.failures] == [FailureCode.KUBECONFIG]
    assert f"served by the worker on {socket.gethostname()}" in found.warnings


def test_no_scheduler_no_run(world: World) -> None:
    """If nothing listens at the address, the run is Failed before any request to a cluster."""
    world.issue("web-tls")
    address = f"tcp://127.0.0.1:{free_port()}"
    choose(world, address)
    since = positions(world)
    state = run()
    assert state.is_failed()
    assert state.message is not None
    assert f"taskRunner.address: Dask's scheduler does not answer at {address} (" in state.message
    assert served(world, since) == {}


def test_a_silent_scheduler_fails_the_run(world: World) -> None:
    """A server that accepts the connection but sends nothing fails the run within seconds."""
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
    """No key and no token passes the scheduler, and none is left in any file."""
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
        assert expected in overheard, "specs and reports are read here"
    assert found_in(overheard, keys) == set()
    assert found_below(tmp_path / "dask", keys) == found_below(prefect_server, keys) == {}


def canaries(world: World, *secrets: Manifest) -> dict[str, bytes]:
    keys = {one["metadata"]["name"]: base64.b64decode(one["data"]["tls.key"]) for one in secrets}
    users = yaml.safe_load(world.kubeconfig.read_text())["users"]
    return keys | {f"token of {user['name']}": user["user"]["token"].encode() for user in users}
