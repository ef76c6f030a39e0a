"""The chart as Helm renders it with each kind of Prefect server, and the values that it refuses."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deployments.sandbox.clusters.control_plane import Sandbox
from deployments.sandbox.demo.prefect_server import RECORDER
from deployments.sandbox.world.kubeconfig import SOURCE_CLUSTER, context_name, write_admin_kubeconfig
from tasks.config.schema import SyncConfig
from tests.conftest import running_sandbox
from tests.support.chart import (
    CHART,
    EGRESS,
    EXISTING,
    KUBE_VERSION,
    NAMESPACES,
    VALUES,
    Manifest,
    containers,
    helm,
    one,
    pods,
    refusal,
    render,
    run,
    work_pool,
)

pytestmark = [pytest.mark.apiserver, pytest.mark.timeout(1500)]
WAYS = pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
TOKEN_NEEDED = {"run", "tls-sync-preflight", "tls-sync-worker", "tls-sync-watch", "tls-sync-remove"}
"""Pods that send requests to the Kubernetes API."""
EMPTY = {"title", "default", "description", "pattern"}
"""Keys of a schema that are for people, and the forms of texts, which test_chart_configuration.py tries."""
DATABASE = {"database": {"urlSecret": {"name": "postgres"}}}
PEER: dict[str, Any] = {"cidr": "198.51.100.8/32", "ports": [5432]}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """OPS before an installation, since the shared sandbox has objects of the chart by now."""
    yield from running_sandbox(Sandbox((SOURCE_CLUSTER,)))


@WAYS
def test_helm_finds_no_fault(values: dict[str, Any]) -> None:
    """`helm lint --strict` accepts the chart with each kind of server."""
    done = run("lint", str(CHART), "--strict", values=values)
    assert done.returncode == 0, done.stdout


def test_helm_finds_no_fault_without_values() -> None:
    """Who looks at the chart before writing values is told of no fault in its templates."""
    command = [helm(), "lint", str(CHART), "--strict"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@WAYS
def test_every_container_is_confined(values: dict[str, Any]) -> None:
    """No pod runs as root, may gain a privilege, or writes elsewhere than in its volumes."""
    for name, pod in pods(render(values)).items():
        security = pod["spec"]["securityContext"]
        assert security["runAsNonRoot"] is True, name
        assert (security["runAsUser"], security["runAsGroup"]) == (10001, 10001), name
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in containers(pod):
            confined = {
                "allowPrivilegeEscalation": False,
                "privileged": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["securityContext"] == confined, name
            assert set(container["resources"]) == {"requests", "limits"}, name
            assert set(container["resources"]["limits"]) == {"cpu", "memory"}, name


@WAYS
def test_only_pods_that_need_it_get_a_token(values: dict[str, Any]) -> None:
    """The server and the registration hook have no token for Kubernetes."""
    for name, pod in pods(render(values)).items():
        assert pod["spec"]["automountServiceAccountToken"] is (name in TOKEN_NEEDED), name


@pytest.mark.parametrize("namespace", NAMESPACES)
def test_rights_are_the_least(namespace: str) -> None:
    """Cluster-wide there is only the uid of kube-system; the worker creates Jobs and reads no Secret."""
    manifests = render(namespace=namespace)
    (cluster_role,) = (m for m in manifests if m["kind"] == "ClusterRole")
    assert cluster_role["rules"] == [
        {"apiGroups": [""], "resources": ["namespaces"], "resourceNames": ["kube-system"], "verbs": ["get"]}
    ]
    roles = {m["metadata"]["name"]: m for m in manifests if m["kind"] == "Role"}
    granted = {
        name: {(resource, *sorted(rule["verbs"])) for rule in role["rules"] for resource in rule["resources"]}
        for name, role in roles.items()
    }
    reading = f"tls-sync:{namespace}:tls-sync"
    assert granted == {
        reading: {("secrets", "get", "list"), ("certificates", "get", "list")},
        "tls-sync-worker": {
            ("jobs", "create", "delete", "get", "list", "watch"),
            ("pods", "get", "list", "watch"),
            ("pods/log", "get"),
        },
        "tls-sync-remove": {("jobs", "delete", "list")},
    }
    assert roles[reading]["metadata"]["namespace"] == "certificates-ops"
    bound = {m["subjects"][0]["namespace"] for m in manifests if m["kind"].endswith("RoleBinding")}
    assert bound == {namespace}


def test_the_watcher_may_watch_and_hold_its_lease() -> None:
    """Besides a run's rights, the watcher may watch the source's Secrets and write one Lease."""
    manifests = render(VALUES["everything"])
    watching = "tls-sync-watch:tls-sync:tls-sync"
    assert one(manifests, "Role", watching)["rules"] == [
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["watch"]}
    ]
    (hold,) = one(manifests, "Role", "tls-sync-lease")["rules"]
    assert (hold["resources"], hold["verbs"]) == (["leases"], ["get", "update"])
    assert hold["resourceNames"] == [one(manifests, "Lease", "tls-sync-watch")["metadata"]["name"]]
    bound = {
        m["roleRef"]["name"]: {subject["name"] for subject in m["subjects"]}
        for m in manifests
        if m["kind"].endswith("RoleBinding")
    }
    both, alone = {"tls-sync", "tls-sync-watch"}, {"tls-sync-watch"}
    of_runs = (bound["tls-sync:tls-sync:tls-sync"], bound["tls-sync-identity:tls-sync:tls-sync"])
    assert of_runs == (both, both)
    assert (bound[watching], bound["tls-sync-lease"]) == (alone, alone)
    assert "tls-sync-watch" not in str(render())


def test_the_watcher_has_the_configuration_and_probes() -> None:
    """The watcher's pod is like a run's, with a Lease in its namespace, and restarts when it stalls."""
    pod = pods(render(VALUES["everything"], "certificates-ops"))["tls-sync-watch"]
    (container,) = pod["spec"]["containers"]
    lease = "--lease=certificates-ops/tls-sync-watch"
    assert container["args"] == ["python", "-m", "flows.watch", lease]
    given = {variable["name"] for variable in container["env"]}
    assert {"TLS_SYNC_CONFIG", "KUBECONFIG", "PREFECT_API_URL"} <= given
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}


@WAYS
def test_no_secret_is_in_a_manifest(values: dict[str, Any]) -> None:
    """The chart creates no Secret, and credentials reach a container by reference only."""
    manifests = render(values)
    assert "Secret" not in {m["kind"] for m in manifests}
    for name, pod in pods(manifests).items():
        for container in containers(pod):
            for variable in container.get("env", []):
                if variable["name"].endswith(("API_KEY", "AUTH_STRING")):
                    assert set(variable["valueFrom"]) == {"secretKeyRef"}, name


def test_runs_get_prefects_credentials_by_reference() -> None:
    """The worker puts a reference to the Secret into a run's pod, not the value into the Job."""
    for way, kind in (("existing server", "API_AUTH_STRING"), ("cloud", "API_KEY")):
        worker = one(render(VALUES[way]), "Deployment", "tls-sync-worker")
        (container,) = worker["spec"]["template"]["spec"]["containers"]
        given = {variable["name"]: variable for variable in container["env"]}
        reference = given[f"PREFECT_{kind}"]["valueFrom"]["secretKeyRef"]
        prefix = f"PREFECT_INTEGRATIONS_KUBERNETES_WORKER_{kind}_SECRET"
        assert given[f"{prefix}_NAME"]["value"] == reference["name"]
        assert given[f"{prefix}_KEY"]["value"] == reference["key"]


def test_the_kubeconfig_is_a_whole_volume_for_its_group() -> None:
    """The kubeconfig has no subPath, so that a new version arrives, and only the pod's group can read it."""
    for name, pod in pods(render()).items():
        volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
        if "kubeconfig" not in volumes:
            assert name not in {"run", "tls-sync-register"}
            continue
        assert volumes["kubeconfig"]["secret"]["defaultMode"] == 0o440, name
        mounts = [m for c in containers(pod) for m in c["volumeMounts"] if m["name"] == "kubeconfig"]
        assert mounts == [{"name": "kubeconfig", "mountPath": "/etc/tls-sync-kubeconfig", "readOnly": True}]


@pytest.mark.parametrize("namespace", NAMESPACES)
def test_the_worker_watches_its_namespace_alone_and_makes_no_pool(namespace: str) -> None:
    """The worker watches only its namespace, and creates no pool, which would survive an uninstall."""
    worker = one(render(namespace=namespace), "Deployment", "tls-sync-worker")
    (container,) = worker["spec"]["template"]["spec"]["containers"]
    given = {variable["name"]: variable.get("value") for variable in container["env"]}
    assert given["PREFECT_INTEGRATIONS_KUBERNETES_OBSERVER_NAMESPACES"] == namespace
    assert "--no-create-pool-if-not-found" in container["args"]


def test_the_work_pool_is_the_file_that_is_shipped() -> None:
    """By default the chart registers deployments/work-pool.json, with labels and image of the release."""
    shipped = json.loads((CHART.parents[1] / "work-pool.json").read_text())
    made = work_pool(render())
    configuration = made["job_configuration"]
    job = configuration["job_manifest"]
    for labels in (job["metadata"]["labels"], job["spec"]["template"]["metadata"]["labels"]):
        del labels["app.kubernetes.io/version"], labels["helm.sh/chart"]
    del configuration["labels"]["app.kubernetes.io/version"]
    (container,) = job["spec"]["template"]["spec"]["containers"]
    container["image"] = container["image"].removeprefix("registry.example.org/")
    assert made == shipped


def test_values_reach_the_work_pool() -> None:
    """A run has the image, resources, Secret, results and namespace of the values."""
    values = {
        "image": {"repository": "registry.example.org/tls-sync", "digest": f"sha256:{'a' * 64}"},
        "tlsSync": {
            "kubeconfigSecret": "other",
            "logLevel": "DEBUG",
            "resources": {"limits": {"cpu": 1, "memory": "300Mi"}},
        },
        "results": {"persistence": {"enabled": True}},
    }
    template = work_pool(render(values, "certificates-ops"))
    spec = template["job_configuration"]["job_manifest"]["spec"]["template"]["spec"]
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    defaults = {name: schema["default"] for name, schema in template["variables"]["properties"].items()}
    assert template["job_configuration"]["namespace"] == "certificates-ops"
    assert spec["containers"][0]["image"] == f"registry.example.org/tls-sync@sha256:{'a' * 64}"
    assert volumes["kubeconfig"]["secret"]["secretName"] == "other"
    assert volumes["results"] == {
        "name": "results",
        "persistentVolumeClaim": {"claimName": "tls-sync-results"},
    }
    assert defaults == {
        "log_level": "DEBUG",
        "cpu_request": "100m",
        "memory_request": "128Mi",
        "cpu_limit": "1",
        "memory_limit": "300Mi",
    }


@pytest.mark.parametrize(
    "values",
    [
        {"tlsSync": {"schedule": "*/5 * * * *"}},
        {"tlsSync": {"timezone": "Europe/Paris"}},
        {"tlsSync": {"suspend": True}},
        {"tlsSync": {"verify": {"enabled": False}}},
        {"tlsSync": {"verify": {"schedule": "15 4 * * 0"}}},
        {"tlsSync": {"resources": {"limits": {"memory": "300Mi"}}}},
        {"tlsSync": {"kubeconfigSecret": "other"}},
    ],
    ids=str,
)
def test_what_the_hook_registers_is_in_an_object_that_is_no_hook(values: dict[str, Any]) -> None:
    """Each change of a registered value changes an object that is not a hook, or Argo CD would not sync."""
    changed = {
        after["metadata"]["name"]
        for before, after in zip(render(), render(values), strict=True)
        if before != after
    }
    hooks = {"tls-sync-register", "tls-sync-preflight"}
    assert changed - hooks == {"tls-sync-registration"}


def test_the_hook_finds_all_that_it_asks_for() -> None:
    """The ConfigMap has each key that the hook reads."""
    manifests = render()
    (container,) = containers(pods(manifests)["tls-sync-register"])
    given = one(manifests, "ConfigMap", "tls-sync-registration")["data"]
    sources = [variable["valueFrom"] for variable in container["env"] if "valueFrom" in variable]
    asked = {one["configMapKeyRef"]["key"] for one in sources if "configMapKeyRef" in one}
    assert asked == {"schedule", "timezone", "active", "fleet", "verify", "verify-schedule", "work-pool"}
    assert asked <= set(given)


def test_hooks_leave_nothing_when_they_succeed() -> None:
    """Each object of a hook is deleted after it; a rollback registers, too; all of the removal are hooks."""
    manifests = render()
    hooks = {
        m["metadata"]["name"]: m for m in manifests if "helm.sh/hook" in m["metadata"].get("annotations", {})
    }
    assert set(hooks) == {"tls-sync-register", "tls-sync-remove", "tls-sync-preflight"}
    registers = hooks["tls-sync-register"]["metadata"]["annotations"]["helm.sh/hook"]
    assert registers == "post-install,post-upgrade,post-rollback"
    for manifest in manifests:
        notes = manifest["metadata"].get("annotations", {})
        if "helm.sh/hook" in notes:
            assert notes["helm.sh/hook-delete-policy"] == "before-hook-creation,hook-succeeded"
    of_the_remover = [m for m in manifests if m["metadata"]["name"] == "tls-sync-remove"]
    assert {m["kind"] for m in of_the_remover} == {
        *("ServiceAccount", "Role", "RoleBinding", "NetworkPolicy", "Job"),
    }
    for manifest in of_the_remover:
        assert manifest["metadata"]["annotations"]["helm.sh/hook"] == "pre-delete"
        assert manifest["metadata"]["annotations"]["argocd.argoproj.io/hook"] == "PostDelete"


CLAIMS = {
    "none": ({}, None),
    "the chart's own": ({"enabled": True}, "tls-sync-results"),
    "an existing one": ({"enabled": True, "existingClaim": "results"}, None),
}


@pytest.mark.parametrize(("persistence", "claim"), CLAIMS.values(), ids=CLAIMS)
def test_the_removal_deletes_the_claim_of_results(persistence: dict[str, Any], claim: str | None) -> None:
    """Argo CD would wait for the claim, which finished runs hold, so it leaves it to the hook."""
    manifests = render({"results": {"persistence": persistence}})
    rules = one(manifests, "Role", "tls-sync-remove")["rules"]
    deletable = [rule["resourceNames"] for rule in rules if rule["resources"] == ["persistentvolumeclaims"]]
    (container,) = containers(pods(manifests)["tls-sync-remove"])
    named = [entry["value"] for entry in container["env"] if entry["name"] == "TLS_SYNC_RESULTS_CLAIM"]
    made = {
        m["metadata"]["name"]: m["metadata"].get("annotations", {})
        for m in manifests
        if m["kind"] == "PersistentVolumeClaim" and m["metadata"]["name"] != "tls-sync-server"
    }
    assert deletable == ([[claim]] if claim else [])
    assert named == ([claim] if claim else [])
    assert made == ({claim: {"argocd.argoproj.io/sync-options": "Delete=false"}} if claim else {})


def test_every_pod_has_a_network_policy_that_lets_nothing_in() -> None:
    """Nothing reaches the pods, except our own pods the server, and scrapers the watcher's metrics."""
    manifests = render(VALUES["everything"])
    policies = [m["spec"] for m in manifests if m["kind"] == "NetworkPolicy"]
    for name, pod in pods(manifests).items():
        labels = pod["metadata"]["labels"].items()
        (policy,) = (p for p in policies if p["podSelector"]["matchLabels"].items() <= labels)
        assert policy["policyTypes"] == ["Ingress", "Egress"], name
        assert ("ingress" in policy) == (name in {"tls-sync-server", "tls-sync-watch"}), name
        assert "0.0.0.0/0" not in json.dumps(policy), name
    nobody_named = render({"watch": {"enabled": True}})
    assert "ingress" not in one(nobody_named, "NetworkPolicy", "tls-sync-watch")["spec"]


def test_targets_are_reached_by_what_copies_alone() -> None:
    """The worker and the hooks can't reach targets, and the server nothing outside."""
    manifests = render(VALUES["everything"])
    reaching = {
        m["metadata"]["name"]
        for m in manifests
        if m["kind"] == "NetworkPolicy" and "192.0.2.10/32" in json.dumps(m)
    }
    assert reaching == {"tls-sync-run", "tls-sync-watch"}
    assert "egress" not in one(manifests, "NetworkPolicy", "tls-sync-server")["spec"]


def test_what_applications_serve_is_asked_by_runs_alone() -> None:
    """The inventory is a run, too; watcher, worker and hooks can't reach these addresses."""
    manifests = render(VALUES["everything"])
    reaching = [m["metadata"]["name"] for m in manifests if "203.0.113.9/32" in json.dumps(m)]
    assert reaching == ["tls-sync-run"]


def test_the_database_is_named_by_reference() -> None:
    """The server gets the connection URL from the Secret, no other pod does; by default there is none."""
    variable = "PREFECT_SERVER_DATABASE_CONNECTION_URL"
    assert variable not in json.dumps(render())
    reached = {"egress": {**EGRESS, "database": [PEER]}}
    manifests = render({"prefect": {"server": DATABASE}, "networkPolicy": reached})
    users = [name for name, pod in pods(manifests).items() if variable in json.dumps(pod)]
    assert users == ["tls-sync-server"]
    (container,) = pods(manifests)["tls-sync-server"]["spec"]["containers"]
    (given,) = (entry for entry in container["env"] if entry["name"] == variable)
    assert given["valueFrom"] == {"secretKeyRef": {"name": "postgres", "key": "url"}}
    reaching = [m["metadata"]["name"] for m in manifests if PEER["cidr"] in json.dumps(m)]
    assert reaching == ["tls-sync-server"]


def test_a_disruption_budget_only_where_there_are_replicas() -> None:
    """A single pod has no budget, which would block each drain of its node."""
    assert "PodDisruptionBudget" not in {m["kind"] for m in render()}
    one(render(VALUES["everything"]), "PodDisruptionBudget", "tls-sync-worker")


def test_the_server_stores_task_runs_together() -> None:
    """Not one transaction per state, and as the server that the benchmarks measure."""
    server = one(render(VALUES["everything"]), "Deployment", "tls-sync-server")["spec"]["template"]
    given = {variable["name"]: variable.get("value") for variable in containers(server)[0]["env"]}
    assert {name: given.get(name) for name in RECORDER} == RECORDER


def test_what_is_old_is_cleaned_up() -> None:
    """The server deletes old runs, and a CronJob old results, both by retention.days."""
    manifests = render({**VALUES["everything"], "retention": {"days": 7}})
    server = one(manifests, "Deployment", "tls-sync-server")["spec"]["template"]["spec"]["containers"][0]
    given = {variable["name"]: variable.get("value") for variable in server["env"]}
    assert given["PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED"] == "events,flow_runs"
    assert given["PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD"] == str(7 * 86400)
    cleaner = one(manifests, "CronJob", "tls-sync-results")["spec"]["jobTemplate"]["spec"]["template"]
    assert "+7" in containers(cleaner)[0]["args"]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"tlsSync": {"shedule": "0 * * * *"}}, ["'/tlsSync'", "'shedule' not allowed"]),
        ({"tlsSync": {"schedule": "every hour"}}, ["'/tlsSync/schedule'", "every hour"]),
        ({"tlsSync": {"schedule": "x * * * *"}}, ["tlsSync.schedule", "minute hour day month weekday"]),
        ({"tlsSync": {"verify": {"schedule": "60 3 * * *"}}}, ["tlsSync.verify.schedule", "in its range"]),
        *(
            ({"tlsSync": {"schedule": wrong}}, ["tlsSync.schedule", "each number in its range"])
            for wrong in (
                "60 * * * *",
                "0 25 * * *",
                "0 0-24 * * *",
                "0 0 0 * *",
                "0 0 * 1,13 *",
                "0 0 * * 8",
            )
        ),
        ({"tlsSync": {"timezone": "Europe Paris"}}, ["'/tlsSync/timezone'"]),
        ({"tlsSync": {"resources": {"limits": {"memory": "lots"}}}}, ["/limits/memory'", "lots"]),
        ({"tlsSync": {"resources": {"limits": {"memory": "256"}}}}, ["/limits/memory'", "256"]),
        ({"tlsSync": {"resources": {"limits": {"cpu": "half"}}}}, ["/limits/cpu'", "half"]),
        ({"tlsSync": {"kubeconfigSecret": "My Secret"}}, ["'/tlsSync/kubeconfigSecret'"]),
        ({"tlsSync": {"config": {"owner": 1}}}, ["'/tlsSync/config/owner'", "want string"]),
        ({"tlsSync": {"config": {"cluster": []}}}, ["'/tlsSync/config'", "'cluster' not allowed"]),
        ({"image": {"digest": "sha256:1"}}, ["'/image/digest'"]),
        ({"image": {"pullPolicy": "Sometimes"}}, ["'/image/pullPolicy'"]),
        ({"prefect": {"apiUrl": "http://prefect:4200"}}, ["'/prefect/apiUrl'"]),
        ({"prefect": {"apiUrl": "http://prefect:4200/api"}}, ["prefect.server.enabled=false"]),
        ({"prefect": {"server": {"enabled": False}}}, ["no Prefect server", "prefect.apiUrl"]),
        ({"prefect": {"apiKeySecret": {"name": "a"}}}, ["prefect.authSecret"]),
        ({"prefect": {"apiKey": "pnu_123"}}, ["'/prefect'", "'apiKey' not allowed"]),
        ({"worker": {"replicas": 0}}, ["'/worker/replicas'"]),
        ({"retention": {"days": 0}}, ["'/retention/days'"]),
        ({"networkPolicy": {"egress": {"enabled": True}}}, ["networkPolicy.egress.apiServer is empty"]),
        (
            {"networkPolicy": {"egress": {"targets": [{"cidr": "0.0.0.0/0", "ports": [443]}]}}},
            ["/targets/0/cidr'"],
        ),
        ({"kubeconfig": "apiVersion: v1"}, ["'kubeconfig' not allowed"]),
        ({"prefect": {**EXISTING, "server": {**DATABASE, "enabled": False}}}, ["database is for the server"]),
        (
            {"prefect": {"server": DATABASE}, "networkPolicy": {"egress": EGRESS}},
            ["networkPolicy.egress.database is empty"],
        ),
        ({"prefect": {"server": {"database": {"url": "x"}}}}, ["'url' not allowed"]),
    ],
)
def test_wrong_values_are_refused_by_name(values: dict[str, Any], words: list[str]) -> None:
    """Helm stops before it sends anything, and names the wrong value."""
    said = refusal(values)
    assert [word for word in words if word not in said] == [], said


def test_a_release_without_configuration_is_refused() -> None:
    """Without a configuration there is no release; the message says what to set."""
    command = [helm(), "template", str(CHART), KUBE_VERSION]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "tlsSync.config is empty" in done.stderr


def test_an_image_that_no_registry_has_is_said_before_anything_is_installed() -> None:
    """The default name is refused, unless nodes have the image already, or the release is there already."""
    default = {"image": {"repository": "tls-sync"}}
    said = refusal(default)
    assert "image.repository is tls-sync, which no registry has: build the image, push it to yours" in said
    assert render({"image": {**default["image"], "pullPolicy": "Never"}})
    done = run("template", "tls-sync", str(CHART), "--is-upgrade", values=default)
    assert done.returncode == 0, done.stderr


def tidy(schema: Any) -> Any:
    """Return a schema in the chart's form: without descriptions, and with null in lists of types."""
    if isinstance(schema, list):
        return [tidy(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if {"type": "null"} in schema.get("anyOf", []):
        (rest,) = (part for part in schema["anyOf"] if part != {"type": "null"})
        if "type" in rest:
            schema = {**rest, "type": [rest["type"], "null"]}
    return {
        key: {name: tidy(one) for name, one in value.items()} if key == "properties" else tidy(value)
        for key, value in schema.items()
        if key not in EMPTY
    }


@pytest.mark.parametrize("fleet", [False, True])
def test_the_schedule_is_the_fleets_where_it_is_enabled(fleet: bool) -> None:
    """The hook's environment says which of the two deployments has the schedule, by default tls-sync/ops."""
    values = {"tlsSync": {"fleet": {"enabled": True}}} if fleet else {}
    manifests = render(values)
    assert one(manifests, "ConfigMap", "tls-sync-registration")["data"]["fleet"] == str(fleet).lower()
    (container,) = pods(manifests)["tls-sync-register"]["spec"]["containers"]
    given = {variable["name"]: variable for variable in container["env"]}
    reference = given["TLS_SYNC_FLEET"]["valueFrom"]["configMapKeyRef"]
    assert reference == {"name": "tls-sync-registration", "key": "fleet"}


def test_a_fleet_is_on_or_off() -> None:
    """The schema allows no other value and no other key."""
    assert "/tlsSync/fleet/enabled" in refusal({"tlsSync": {"fleet": {"enabled": "yes"}}})
    assert "groups" in refusal({"tlsSync": {"fleet": {"groups": ["eu"]}}})


def test_the_schema_knows_the_configuration() -> None:
    """values.schema.json allows under tlsSync.config exactly what tasks/config/schema.py allows."""
    ours = SyncConfig.model_json_schema(by_alias=True)
    wanted = {name: tidy(part) for name, part in ours.pop("$defs").items()} | {"SyncConfig": tidy(ours)}
    shipped = json.loads((CHART / "values.schema.json").read_text())["$defs"]
    assert {name: tidy(shipped.get(name)) for name in wanted} == wanted


def collection(manifest: Manifest, namespace: str) -> str:
    """Return the path for creating an object."""
    version, kind = manifest["apiVersion"], manifest["kind"].lower()
    plural = f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}{'es' if kind.endswith('s') else 's'}"
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    if kind.startswith("cluster"):
        return f"{root}/{plural}"
    return f"{root}/namespaces/{manifest['metadata'].get('namespace', namespace)}/{plural}"


@pytest.mark.parametrize("namespace", NAMESPACES)
@WAYS
def test_an_api_server_takes_all_of_it(sandbox: Sandbox, values: dict[str, Any], namespace: str) -> None:
    """A real API server accepts each object in both namespaces, without unknown fields."""
    ops = sandbox.cluster(SOURCE_CLUSTER).admin
    for name in NAMESPACES:
        ops.namespace(name)
    for manifest in render(values, namespace):
        ops.post(f"{collection(manifest, namespace)}?dryRun=All&fieldValidation=Strict", manifest)


@pytest.mark.parametrize(
    "schedule", ["59 23 31 12 7", "*/5 * * * *", "0,30 8-18/2 01-09 jan-mar mon-fri", "05 00 * 1,12 0"]
)
def test_every_usual_schedule_is_taken(schedule: str) -> None:
    """The chart checks the range of each cron field, and refuses nothing within it."""
    assert one(render({"tlsSync": {"schedule": schedule}}, "tls-sync"), "Job", "tls-sync-register")


def test_the_notes_say_what_is_open(sandbox: Sandbox, tmp_path: Path) -> None:
    """The notes say where Prefect and its password are, or that it has none, and what is not limited."""
    write_admin_kubeconfig(sandbox, tmp_path / "kubeconfig")
    where = ["--kubeconfig", str(tmp_path / "kubeconfig"), "--kube-context", context_name(SOURCE_CLUSTER)]
    warning = "Who can create pods in namespace certificates-ops"
    for namespace in NAMESPACES:
        sandbox.cluster(SOURCE_CLUSTER).admin.namespace(namespace)
        command = ["install", "tls-sync", str(CHART), "--namespace", namespace, "--dry-run=server", *where]
        done = run(*command, values=VALUES["embedded without a password"])
        assert done.returncode == 0, done.stderr
        said = done.stdout.partition("NOTES:")[2]
        made = "tls-sync rights kubeconfig --ops-context cluster-ops"
        made += "" if namespace == "tls-sync" else f" --namespace {namespace}"
        assert f"  TLS_SYNC_CONFIG=tls-sync.yaml {made}\n" in said
        assert "create secret generic tls-sync-kubeconfig" not in said
        assert re.search(r"<\w+>", said) is None, "a shell takes < for a redirection"
        assert "INSECURE: Prefect has no password (prefect.insecureNoPassword)." in said
        assert "PREFECT_API_AUTH_STRING" not in said
        assert (warning in said) == (namespace == "certificates-ops")
        secret = {"prefect": {"authSecret": {"name": "prefect-auth", "key": "auth.string"}}}
        done = run(*command, values=secret)
        assert done.returncode == 0, done.stderr
        assert (
            f'  export PREFECT_API_AUTH_STRING="$(kubectl -n {namespace} get secret prefect-auth \\\n'
            "    -o jsonpath='{.data.auth\\.string}' | base64 -d)\"\n"
        ) in done.stdout
        assert "INSECURE" not in done.stdout
