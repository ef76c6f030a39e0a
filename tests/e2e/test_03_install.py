"""After `helm install` alone, certificates are on all targets a minute later."""

import subprocess
import time

import pytest

from deployments.sandbox.world import oracle
from deployments.sandbox.world.kubeconfig import SOURCE_CLUSTER
from tests.e2e import records, rights
from tests.e2e.machine import NAMESPACE, UID, Machine
from tests.e2e.prefect_api import RUN_SECONDS, PrefectAPI, Run
from tests.e2e.release import EVERY_MINUTE, NAME, Release
from tests.e2e.rights import Right
from tests.e2e.witness import SeenPod, Witness

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]

_MIB = 2**20
_LIMIT_MIB = 256
_NOT_ITS_OWN = ("default", "kube-system", "homarr-dev")


@pytest.fixture(scope="module")
def first_run(prefect: PrefectAPI, release: Release) -> Run:
    """The first run that the schedule started; on a busy machine not necessarily that of the first minute."""
    deadline = time.monotonic() + RUN_SECONDS
    while not (ended := [run for run in prefect.runs() if run.state_type == "COMPLETED"]):
        seen = [run for run in prefect.runs() if run.state != "Scheduled"]
        assert time.monotonic() < deadline, seen
        time.sleep(1)
    return ended[-1]


@pytest.fixture(scope="module")
def pod(first_run: Run, witness: Witness) -> SeenPod:
    return witness.pods[first_run.id][0]


def test_the_hook_made_the_work_pool_and_the_deployment(prefect: PrefectAPI, release: Release) -> None:
    """Both exist when `helm install --wait` returns, and the deployment has the schedule of the values."""
    pool = prefect.get("work_pools/ops")
    assert pool["type"] == "kubernetes"
    assert pool["base_job_template"]["job_configuration"]["job_manifest"]["kind"] == "Job"
    deployment = prefect.deployment()
    assert deployment["work_pool_name"] == "ops"
    assert deployment["entrypoint"] == "flows/tls_sync.py:tls_sync"
    assert prefect.crons() == [EVERY_MINUTE]


def test_a_worker_is_online(prefect: PrefectAPI) -> None:
    """The pool has a worker that starts its runs."""
    deadline = time.monotonic() + RUN_SECONDS
    while "ONLINE" not in prefect.workers().values():
        assert time.monotonic() < deadline, prefect.workers()
        time.sleep(1)


def test_helm_tests_the_release(machine: Machine, release: Release) -> None:
    """`helm test` runs the preflight in a pod like a run's, prints its report, and deletes the pod."""
    where = ["--kubeconfig", str(machine.kubeconfig), "--namespace", NAMESPACE]
    command = [str(machine.programs["helm"]), "test", NAME, *where]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    assert "Succeeded" in done.stdout
    for cluster in release.values["tlsSync"]["config"]["clusters"]:
        assert cluster["name"] in done.stderr, "Helm prints logs of hooks there"
    pods = machine.kubectl("get", "pods", "--namespace", NAMESPACE, "--output=name")
    assert "pod/tls-sync-preflight" not in pods.split()


def test_the_schedule_fires_by_itself(first_run: Run, pod: SeenPod) -> None:
    """The first Completed run was started by the cron, and ran in a pod."""
    assert first_run.by_schedule, first_run
    assert first_run.state == "Completed", first_run
    assert pod.processes


def test_the_copies_are_on_all_targets(machine: Machine, first_run: Run) -> None:
    """Every copy equals OPS's Secret byte for byte."""
    seen = oracle.look(machine.sandbox)
    assert oracle.Evidence(seen, seen).objections(()) == []


def test_the_pod_is_what_the_kernel_says(pod: SeenPod) -> None:
    """A run is not root, has and gets no capability, filtered system calls, and a read-only root."""
    for process in pod.processes:
        assert process.uid == UID, process
        assert process.capabilities == 0, process
        assert process.no_new_privileges, process
        assert process.seccomp, process
        assert process.root_is_read_only, process


def test_the_pod_asks_for_what_it_should(pod: SeenPod) -> None:
    """The Job has the runs' account, the limits of the values, and no retries besides Prefect's."""
    spec = pod.manifest["spec"]
    (container,) = spec["containers"]
    assert spec["serviceAccountName"] == "tls-sync"
    assert spec["restartPolicy"] == "Never"
    assert container["resources"] == {
        "requests": {"memory": "128Mi", "cpu": "100m"},
        "limits": {"memory": "256Mi", "cpu": "1"},
    }


def test_the_memory_of_a_run_is_recorded(pod: SeenPod) -> None:
    """The working set stays under the limit; the control group's peak is recorded."""
    peak, working_set = (round(number / _MIB, 1) for number in (pod.peak_bytes, pod.working_set_bytes))
    records.write("memory_of_a_run_mib", {"cgroup_peak": peak, "working_set": working_set})
    assert 0 < working_set <= peak <= _LIMIT_MIB


def test_the_account_of_the_runs_may_read_certificates_and_nothing_else(
    machine: Machine, release: Release
) -> None:
    """The API server lists exactly the rights that the chart gives, namespace by namespace."""
    server = machine.sandbox.cluster(SOURCE_CLUSTER)
    everywhere = {Right("get", "", "namespaces", ("kube-system",))}
    reading = {
        Right(verb, group, resource)
        for verb in ("get", "list")
        for group, resource in (("", "secrets"), ("cert-manager.io", "certificates"))
    }
    assert rights.of(server, NAMESPACE, "tls-sync", "certificates-ops") == everywhere | reading
    for namespace in (NAMESPACE, *_NOT_ITS_OWN):
        assert rights.of(server, NAMESPACE, "tls-sync", namespace) == everywhere, namespace


def test_the_worker_may_make_jobs_where_it_is_and_read_no_secret(machine: Machine, release: Release) -> None:
    """The worker may start runs and read no Secret; elsewhere it may do nothing, as the hooks everywhere."""
    server = machine.sandbox.cluster(SOURCE_CLUSTER)
    jobs = {Right(verb, "batch", "jobs") for verb in ("create", "delete", "get", "list", "watch")}
    pods = {Right(verb, "", "pods") for verb in ("get", "list", "watch")}
    here = rights.of(server, NAMESPACE, "tls-sync-worker", NAMESPACE)
    assert here == jobs | pods | {Right("get", "", "pods/log")}
    for namespace in ("certificates-ops", *_NOT_ITS_OWN):
        assert rights.of(server, NAMESPACE, "tls-sync-worker", namespace) == set(), namespace
        assert rights.of(server, NAMESPACE, "tls-sync-hook", namespace) == set(), namespace
    assert rights.of(server, NAMESPACE, "tls-sync-hook", NAMESPACE) == set()
