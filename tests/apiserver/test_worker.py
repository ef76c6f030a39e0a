"""The worker and the removing hook at a real API server, with the rights that the chart gives them."""

import http.client
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from ssl import create_default_context
from typing import Any

import pytest

from deployments.hook.errors import HookError
from deployments.hook.kubernetes_jobs import end_jobs
from deployments.hook.registration import register
from deployments.hook.rest import Rest
from deployments.sandbox import kubeconfig, processes
from deployments.sandbox.admin import AdminError
from deployments.sandbox.api_server import ApiServer
from deployments.sandbox.control_plane import Sandbox
from deployments.sandbox.kubeconfig import SOURCE_CLUSTER
from tests import chart
from tests.hook_world import PASSWORD, ROOT, HookWorld, guarded_server

pytestmark = [pytest.mark.apiserver, pytest.mark.timeout(2400)]

NAMESPACE = "tls-sync"
JOBS = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"
SECONDS = 600.0
RIGHTS = ("ServiceAccount", "Role", "RoleBinding")
AUTH = {"prefect": {"authSecret": {"name": "prefect-auth", "key": "auth"}}}


@pytest.fixture
def ops(sandbox: Sandbox) -> Iterator[ApiServer]:
    """OPS with the accounts and rights of the chart, and without its pods."""
    server = sandbox.cluster(SOURCE_CLUSTER)
    for namespace in chart.NAMESPACES:
        server.admin.namespace(namespace)
    for manifest in chart.render():
        if manifest["kind"] in RIGHTS:
            server.admin.ensure(manifest, NAMESPACE)
    yield server
    for job in server.admin.list(JOBS):
        server.admin.delete(f"{JOBS}/{job['metadata']['name']}?propagationPolicy=Background")
        let_go(server, job)


def let_go(server: ApiServer, job: dict[str, Any]) -> None:
    """What the garbage collector of a controller manager does once the pods are gone."""
    path = f"{JOBS}/{job['metadata']['name']}"
    try:
        server.admin.patch(path, {"metadata": {"finalizers": None}})
    except AdminError as error:
        if error.status != http.client.NOT_FOUND:
            raise


def until(what: str, found: Any) -> Any:
    """What `found` gives, once it gives something."""
    deadline = time.monotonic() + SECONDS
    while not (value := found()):
        assert time.monotonic() < deadline, f"{what} did not come"
        time.sleep(0.3)
    return value


def refusals(server: ApiServer, account: str) -> list[tuple[str, str]]:
    """What the API server did not let an account do."""
    user = f"system:serviceaccount:{NAMESPACE}:{account}"
    return sorted(
        {
            (entry["verb"], entry["requestURI"])
            for entry in server.audit()
            if entry["user"]["username"] == user and entry.get("responseStatus", {}).get("code") in (401, 403)
        }
    )


def test_the_worker_starts_runs_with_the_rights_of_the_chart(
    ops: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run becomes a Job with the password by reference, and no call of the worker is refused."""
    home = tmp_path / "server"
    home.mkdir()
    with guarded_server(home) as address:
        world = HookWorld(address, tmp_path, monkeypatch)
        register(world.settings, world.say)
        worker = start_worker(ops, tmp_path, address)
        try:
            deployment = world.api.deployment("tls-sync/ops")
            assert deployment is not None
            rest = world.api._rest
            run = rest.call("POST", f"/deployments/{deployment['id']}/create_flow_run", {})
            (job,) = until("the run's Job", lambda: ops.admin.list(JOBS))
            (container,) = job["spec"]["template"]["spec"]["containers"]
            given = {variable["name"]: variable for variable in container["env"]}
            assert given["PREFECT_API_AUTH_STRING"]["valueFrom"]["secretKeyRef"] == {
                "name": "prefect-auth",
                "key": "auth",
            }
            assert PASSWORD not in str(job)
            assert job["metadata"]["labels"]["prefect.io/flow-run-id"] == run["id"]
        finally:
            processes.stop(worker)
    assert refusals(ops, "tls-sync-worker") == [], (tmp_path / "worker.log").read_text()[-4000:]


@pytest.mark.parametrize("verb", ["create", "list", "watch", "delete"])
def test_the_worker_may_end_what_it_starts(ops: ApiServer, verb: str) -> None:
    """The worker has the right to delete the Job of a run, which a cancellation needs."""
    # Asked, and not tried: once, a worker did not act on two cancellations that the server had recorded, and
    # sent no DELETE at all. Why is not known, so that a cancelled run loses its Job is not shown here.
    attributes = {"namespace": NAMESPACE, "verb": verb, "group": "batch", "resource": "jobs"}
    review = ops.admin.post(
        "/apis/authorization.k8s.io/v1/subjectaccessreviews",
        {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": f"system:serviceaccount:{NAMESPACE}:tls-sync-worker",
                "resourceAttributes": attributes,
            },
        },
    )
    assert review["status"]["allowed"]


def ending(job: dict[str, Any]) -> bool:
    return "deletionTimestamp" in job["metadata"]


def start_worker(ops: ApiServer, directory: Path, address: str) -> processes.Process:
    """With the command and the environment of the chart's Deployment, and the token of its account."""
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


def remover(ops: ApiServer) -> Rest:
    token = ops.admin.token(NAMESPACE, "tls-sync-remove", 3600)
    trust = create_default_context(cadata=ops.ca_pem.decode())
    return Rest(ops.url, {"Authorization": f"Bearer {token}"}, trust)


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
    """Jobs of runs and a registering hook that failed go, once their pods have; another release's stay."""
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
    """The hook waits for a bounded time, and then says what to look at."""
    make_job(ops, "stuck", "tls-sync", "run")
    with pytest.raises(HookError, match="kubectl -n tls-sync describe job stuck"):
        end_jobs(remover(ops), NAMESPACE, "tls-sync", 0.0)
