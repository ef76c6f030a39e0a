"""The worker and the removal hook at a real API server, with the rights of the chart."""

import http.client
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from ssl import create_default_context
from typing import Any

import httpx
import pytest

from deployments.hook.errors import HookError
from deployments.hook.kubernetes_jobs import api_server, end_jobs
from deployments.hook.registration import register
from deployments.sandbox import processes
from deployments.sandbox.clusters.admin import AdminError
from deployments.sandbox.clusters.api_server import ApiServer
from deployments.sandbox.clusters.control_plane import Sandbox
from deployments.sandbox.world import kubeconfig
from deployments.sandbox.world.kubeconfig import SOURCE_CLUSTER
from tests.support import chart
from tests.support.hook_environment import PASSWORD, ROOT, HookWorld, guarded_server
from tests.support.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(2400)]

NAMESPACE = "tls-sync"
JOBS = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"
SECONDS = 600.0
RIGHTS = ("ServiceAccount", "Role", "RoleBinding")
CLEANUP = "PREFECT_SERVER_SERVICES_CANCELLATION_CLEANUP"
"""Setting of Prefect's server: after five minutes, here sooner, Cancelling becomes Cancelled."""
AUTH = {"prefect": {"authSecret": {"name": "prefect-auth", "key": "auth"}}}


@pytest.fixture
def ops(sandbox: Sandbox) -> Iterator[ApiServer]:
    """OPS with the accounts and rights of the chart, but not its pods."""
    server = with_the_rights(sandbox)
    yield server
    for job in server.admin.list(JOBS):
        server.admin.delete(f"{JOBS}/{job['metadata']['name']}?propagationPolicy=Background")
        let_go(server, job)


def with_the_rights(sandbox: Sandbox) -> ApiServer:
    server = sandbox.cluster(SOURCE_CLUSTER)
    for namespace in chart.NAMESPACES:
        server.admin.namespace(namespace)
    for manifest in chart.render():
        if manifest["kind"] in RIGHTS:
            server.admin.ensure(manifest, NAMESPACE)
    return server


def let_go(server: ApiServer, job: dict[str, Any]) -> None:
    """Do what the controller manager's garbage collector does once the pods are gone."""
    path = f"{JOBS}/{job['metadata']['name']}"
    try:
        server.admin.patch(path, {"metadata": {"finalizers": None}})
    except AdminError as error:
        if error.status != http.client.NOT_FOUND:
            raise


def refusals(server: ApiServer, account: str) -> list[tuple[str, str]]:
    """Return the requests of an account that the API server refused."""
    user = f"system:serviceaccount:{NAMESPACE}:{account}"
    return sorted(
        {
            (entry["verb"], entry["requestURI"])
            for entry in server.audit()
            if entry["user"]["username"] == user and entry.get("responseStatus", {}).get("code") in (401, 403)
        }
    )


@dataclass(frozen=True)
class Started:
    """A run with a Job of the worker, whose pod has not started."""

    http: httpx.Client
    run: dict[str, Any]
    job: dict[str, Any]

    @property
    def now(self) -> dict[str, Any]:
        """Read the run from Prefect."""
        found: dict[str, Any] = self.http.get(f"/flow_runs/{self.run['id']}").json()
        return found

    @property
    def state(self) -> str:
        return str(self.now["state"]["name"])


@pytest.fixture(scope="module")
def registered(
    sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[HookWorld, Path]]:
    """A Prefect server after registration, with a worker. Yields the hook's world and the worker's log."""
    directory = tmp_path_factory.mktemp("worker")
    (home := directory / "server").mkdir()
    timeouts: dict[str, Any] = {f"{CLEANUP}_CANCELLING_TIMEOUT_SECONDS": "30", f"{CLEANUP}_LOOP_SECONDS": "5"}
    ops = with_the_rights(sandbox)
    with pytest.MonkeyPatch.context() as patch, guarded_server(home, **timeouts) as address:
        world = HookWorld(address, directory, patch)
        register(world.settings, world.say)
        worker = start_worker(ops, directory, address)
        try:
            yield world, directory / "worker.log"
        finally:
            processes.stop(worker)


@pytest.fixture
def started(ops: ApiServer, registered: tuple[HookWorld, Path]) -> Iterator[Started]:
    """Start a run. At the end its slot is free, and the API server has refused no request of the worker."""
    world, log = registered
    deployment = world.api.deployment("tls-sync/ops")
    assert deployment is not None
    http = world.http
    run = http.post(f"/deployments/{deployment.id}/create_flow_run", json={}).json()
    (job,) = until("the run's Job", lambda: ops.admin.list(JOBS))
    yield Started(http, run, job)
    world.api.cancel_runs(deployment)
    assert refusals(ops, "tls-sync-worker") == [], log.read_text()[-4000:]


def test_the_worker_starts_runs_with_the_rights_of_the_chart(started: Started) -> None:
    """A run becomes a Job with the password by reference, and no request of the worker is refused."""
    (container,) = started.job["spec"]["template"]["spec"]["containers"]
    given = {variable["name"]: variable for variable in container["env"]}
    assert given["PREFECT_API_AUTH_STRING"]["valueFrom"]["secretKeyRef"] == {
        "name": "prefect-auth",
        "key": "auth",
    }
    assert PASSWORD not in str(started.job)
    assert started.job["metadata"]["labels"]["prefect.io/flow-run-id"] == started.run["id"]


def cancel(started: Started) -> None:
    """Cancel a run as the UI does."""
    state = {"type": "CANCELLING"}
    started.http.post(f"/flow_runs/{started.run['id']}/set_state", json={"state": state})
    assert started.state == "Cancelling"


def test_a_run_cancelled_before_its_pod_begins_does_nothing(started: Started) -> None:
    """Its pod, if it starts after all, sets it to Cancelled without running the flow, and succeeds."""
    cancel(started)
    (container,) = started.job["spec"]["template"]["spec"]["containers"]
    given = {one["name"]: one["value"] for one in container["env"] if "value" in one}
    environment = {**os.environ, **given, "PREFECT_API_AUTH_STRING": PASSWORD}
    command = [sys.executable, *container["args"][1:]]
    pod = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert pod.returncode == 0, pod.stderr
    assert started.state == "Cancelled", pod.stderr
    assert started.now["run_count"] == 0


def test_a_cancelled_run_whose_pod_never_begins_loses_its_job(ops: ApiServer, started: Started) -> None:
    """After the server's timeout it is Cancelled, and the worker deletes its Job."""
    cancel(started)
    until("the run's end", lambda: started.state == "Cancelled")
    until("the Job's end", lambda: all(map(ending, ops.admin.list(JOBS))))


def test_a_run_whose_pod_cant_begin_ends_with_its_job(ops: ApiServer, started: Started) -> None:
    """Once its Job is deleted, as the guide says, the run is Crashed and the next one starts."""
    ops.admin.delete(f"{JOBS}/{started.job['metadata']['name']}?propagationPolicy=Background")
    let_go(ops, started.job)
    until("the run's end", lambda: started.state == "Crashed")
    path = f"/deployments/{started.run['deployment_id']}/create_flow_run"
    following = started.http.post(path, json={}).json()
    (job,) = until("the next run's Job", lambda: ops.admin.list(JOBS))
    assert job["metadata"]["labels"]["prefect.io/flow-run-id"] == following["id"]


def ending(job: dict[str, Any]) -> bool:
    return "deletionTimestamp" in job["metadata"]


def start_worker(ops: ApiServer, directory: Path, address: str) -> processes.Process:
    """Start a worker with the command and environment of the chart's Deployment, and its account's token."""
    pod = chart.pods(chart.render(AUTH))["tls-sync-worker"]
    (container,) = pod["spec"]["containers"]
    environment = {one["name"]: one["value"] for one in container["env"] if "value" in one}
    config = directory / "worker.kubeconfig"
    token = ops.admin.token(NAMESPACE, "tls-sync-worker", 3600)
    kubeconfig._write(config, {ops: token})
    environment |= {
        "PREFECT_API_URL": address,
        "PREFECT_API_AUTH_STRING": PASSWORD,
        "PREFECT_HOME": str(directory / "worker"),
        "KUBECONFIG": str(config),
        "DO_NOT_TRACK": "1",
        "PREFECT_WORKER_WEBSERVER_PORT": "0",
        "PATH": os.environ["PATH"],
    }
    command = [sys.executable, "-m", *container["args"]]
    return processes.spawn(command, directory / "worker.log", ROOT, environment)


def remover(ops: ApiServer) -> httpx.Client:
    token = ops.admin.token(NAMESPACE, "tls-sync-remove", 3600)
    trust = create_default_context(cadata=ops.ca_pem.decode())
    return api_server(ops.url, token, trust)


def make_job(ops: ApiServer, name: str, release: str, component: str) -> None:
    labels = {"app.kubernetes.io/instance": release, "app.kubernetes.io/component": component}
    template = chart.work_pool(chart.render())["job_configuration"]["job_manifest"]["spec"]["template"]
    ops.admin.post(
        JOBS,
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": name, "labels": labels},
            "spec": {"template": {"spec": {**template["spec"], "containers": [{"name": "a", "image": "a"}]}}},
        },
    )


def test_the_removing_hook_ends_our_jobs_and_no_others(ops: ApiServer) -> None:
    """Jobs of runs and of a failed registration are deleted after their pods; another release's stay."""
    for name, release, component in (
        ("a-run", "tls-sync", "run"),
        ("registering", "tls-sync", "register"),
        ("another-release", "other", "run"),
        ("another-part", "tls-sync", "results"),
    ):
        make_job(ops, name, release, component)
    with ThreadPoolExecutor() as pool:
        ended = pool.submit(end_jobs, remover(ops), NAMESPACE, "tls-sync", SECONDS)
        until("deletion", lambda: sum(map(ending, ops.admin.list(JOBS))) == 2)
        for job in ops.admin.list(JOBS):
            if ending(job):
                let_go(ops, job)
        assert ended.result(SECONDS) == ["a-run", "registering"]
    left = {job["metadata"]["name"]: job for job in ops.admin.list(JOBS)}
    assert set(left) == {"another-release", "another-part"}
    assert not any(map(ending, left.values()))
    assert refusals(ops, "tls-sync-remove") == []


def test_jobs_that_do_not_end_are_named(ops: ApiServer) -> None:
    """The hook waits for a bounded time, then says what to check."""
    make_job(ops, "stuck", "tls-sync", "run")
    with pytest.raises(HookError, match="kubectl -n tls-sync describe job stuck"):
        end_jobs(remover(ops), NAMESPACE, "tls-sync", 0.0)
