"""The pool's base job template: what is fixed, what people may vary, and its validity for Kubernetes."""

import asyncio
import copy
import json
import re
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from prefect.client.schemas.objects import FlowRun
from prefect_kubernetes.worker import (  # type: ignore[import-untyped]  # it ships no types
    KubernetesWorkerJobConfiguration,
)

from deployments.sandbox.clusters.control_plane import Sandbox
from deployments.sandbox.world.kubeconfig import SOURCE_CLUSTER
from tests.support.chart import PLACEMENT, VALUES, pod_options, render, work_pool
from tests.support.prefect_command import api_url, environment, http_client, make_pool

pytestmark = [pytest.mark.apiserver, pytest.mark.timeout(1500)]
TEMPLATE = json.loads((Path(__file__).parents[3] / "deployments" / "work-pool.json").read_text())
HARMFUL: dict[str, Any] = {
    "image": "evil",
    "command": "evil",
    "env": {"KUBECONFIG": "/evil", "EVIL": "1"},
    "namespace": "kube-system",
    "service_account_name": "evil",
    "job_manifest": {"spec": {}},
    "name": "evil",
    "labels": {"evil": "1"},
    "cluster_config": None,
}


def job(template: dict[str, Any] = TEMPLATE, **variables: Any) -> dict[str, Any]:
    """Return the Job that the worker creates for a run with these variables."""
    run = FlowRun(id=uuid4(), flow_id=uuid4(), name="sync all")
    made = asyncio.run(
        KubernetesWorkerJobConfiguration.from_template_and_values(copy.deepcopy(template), variables)
    )
    made.prepare_for_flow_run(run)
    assert made.namespace == "tls-sync"
    manifest: dict[str, Any] = made.job_manifest
    return manifest


def container(manifest: dict[str, Any]) -> dict[str, Any]:
    (only,) = manifest["spec"]["template"]["spec"]["containers"]
    return dict(only)


def without_run(manifest: dict[str, Any]) -> str:
    """Return it as text, without the ids of one run."""
    return re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "ID", json.dumps(manifest, sort_keys=True))


def test_people_may_vary_resources_and_log_level_alone() -> None:
    """Each variable is used, each placeholder is a variable, and an unknown one is refused by the schema."""
    used = set(re.findall(r"\{\{ (\w+) \}\}", json.dumps(TEMPLATE["job_configuration"])))
    offered = set(TEMPLATE["variables"]["properties"])
    assert used == offered == {"log_level", "cpu_request", "cpu_limit", "memory_request", "memory_limit"}
    assert TEMPLATE["variables"]["additionalProperties"] is False


def test_a_run_has_the_resources_that_were_promised(prefect_server: Path) -> None:
    """Requests are 128Mi and 100m, limits 256Mi and one core; a variable replaces one of them."""
    made = container(job(memory_limit="384Mi", log_level="DEBUG"))
    assert made["resources"] == {
        "requests": {"cpu": "100m", "memory": "128Mi"},
        "limits": {"cpu": "1", "memory": "384Mi"},
    }
    assert {"name": "PREFECT_LOGGING_LEVEL", "value": "DEBUG"} in made["env"]


def test_nothing_else_changes_the_job(prefect_server: Path) -> None:
    """Image, command, environment, account and namespace can't be set from Prefect, even past its schema."""
    assert without_run(job(**HARMFUL)) == without_run(job())


def test_a_run_has_its_pushgateway_and_the_password_by_reference(prefect_server: Path) -> None:
    """The chart's values for the Pushgateway reach the Job unchanged, and no value of a Secret does."""
    env = container(job(work_pool(render(VALUES["everything"]))))["env"]
    assert {"name": "TLS_SYNC_PUSHGATEWAY", "value": "https://pushgateway:9091"} in env
    (auth,) = (one["valueFrom"] for one in env if one["name"] == "TLS_SYNC_PUSHGATEWAY_AUTH")
    assert auth == {"secretKeyRef": {"name": "prefect-auth", "key": "auth", "optional": True}}


def test_a_run_has_the_options_of_its_pod(prefect_server: Path) -> None:
    """Placement, labels, annotations, variables and volumes reach the Job as the values have them."""
    manifest = job(work_pool(render(VALUES["everything"])))
    pod, given = manifest["spec"]["template"], pod_options("tlsSync")
    for field in PLACEMENT:
        assert pod["spec"][field] == given[field]
    for field in ("labels", "annotations"):
        assert given[f"pod{field.capitalize()}"].items() <= pod["metadata"][field].items()
    assert given["extraEnv"][0] in container(manifest)["env"]
    assert given["extraVolumeMounts"][0] in container(manifest)["volumeMounts"]
    assert given["extraVolumes"][0] in pod["spec"]["volumes"]


def test_prefect_keeps_the_recommended_labels(prefect_server: Path) -> None:
    """The worker writes labels anew; those of the chart are on the Job and its pod with their values."""
    template = work_pool(render())
    ours = template["job_configuration"]["job_manifest"]["metadata"]["labels"]
    manifest = job(template)
    assert len(ours) == 8
    for metadata in (manifest["metadata"], manifest["spec"]["template"]["metadata"]):
        assert ours.items() <= metadata["labels"].items()


def test_the_command_is_the_one_that_survives_an_eviction(prefect_server: Path) -> None:
    """After SIGTERM, the command has the run restarted; the pod has a minute for that."""
    made = job()
    assert container(made)["args"] == ["python", "-m", "flows.execute"]
    rescheduling = {"name": "PREFECT_FLOW_RUN_EXECUTE_SIGTERM_BEHAVIOR", "value": "reschedule"}
    assert rescheduling in container(made)["env"]
    assert made["spec"]["backoffLimit"] == 0
    assert made["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 60


def test_one_value_goes_back_to_prefects_own_command(prefect_server: Path) -> None:
    """With tlsSync.oneProcess false, the pod runs `prefect flow-run execute`, and nothing else changes."""
    values = {"tlsSync": {"oneProcess": False}}
    found = without_run(job(work_pool(render(values))))
    theirs, ours = '["prefect", "flow-run", "execute"]', '["python", "-m", "flows.execute"]'
    assert theirs in found
    assert found.replace(theirs, ours) == without_run(job(work_pool(render())))


def test_jobs_are_found_by_the_label_that_people_know(prefect_server: Path) -> None:
    """`kubectl get jobs -l app=tls-sync` lists runs, and `-l app=tls-sync` their pods."""
    made = job()
    assert made["metadata"]["labels"]["app"] == "tls-sync"
    assert made["spec"]["template"]["metadata"]["labels"]["app"] == "tls-sync"


def test_an_unknown_variable_is_refused_by_prefect(prefect_server: Path) -> None:
    """A misspelt `memory_limt` is an error of `prefect deployment run`, not a run with other limits."""
    make_pool(environment(prefect_server), "misspelt")
    http = http_client(api_url())
    flow = http.post("/flows/", json={"name": "misspelt"}).json()
    wanted = {"name": "x", "flow_id": flow["id"], "work_pool_name": "misspelt"}
    http.post("/deployments/", json={**wanted, "job_variables": {"memory_limit": "300Mi"}})
    with pytest.raises(httpx.HTTPStatusError) as refused:
        http.post("/deployments/", json={**wanted, "job_variables": {"memory_limt": "300Mi"}})
    assert refused.value.response.status_code in (409, 422)


def test_an_api_server_takes_the_job(sandbox: Sandbox, prefect_server: Path) -> None:
    """A real API server accepts the worker's Job, with its security settings."""
    ops = sandbox.cluster(SOURCE_CLUSTER).admin
    ops.namespace("tls-sync")
    path = "/apis/batch/v1/namespaces/tls-sync/jobs?dryRun=All"
    made = ops.post(path, job())
    pod = made["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsUser"] == 10001
    assert pod["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True
    strict = job()
    for field in ("parallelism", "completions"):  # the worker needs them there; Kubernetes does not know them
        del strict["spec"]["template"]["spec"][field]
    ops.post(f"{path}&fieldValidation=Strict", strict)
