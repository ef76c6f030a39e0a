"""Renders the chart with Helm, with values of a release and of each kind of Prefect server."""

import json
import os
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployments.sandbox.errors import SandboxError
from deployments.sandbox.programs.binaries import locate

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deployments" / "helm" / "tls-sync"

Manifest = dict[str, Any]

AUTH = {"name": "prefect-auth", "key": "auth"}
CA = {"configMap": "ca", "key": "ca.crt"}
EGRESS = {
    "enabled": True,
    "apiServer": [{"cidr": "10.0.0.1/32", "ports": [6443]}],
    "targets": [{"cidr": "192.0.2.10/32", "ports": [6443, 443]}],
    "served": [{"cidr": "203.0.113.9/32", "ports": [443]}],
    "prefect": [{"cidr": "198.51.100.7/32", "ports": [4200]}],
    "pushgateway": {"to": [{"namespaceSelector": {}}], "ports": [9091]},
}
INGRESS = {"enabled": True, "host": "prefect.example.org", "tlsSecret": "prefect-tls"}
EXISTING = {"apiUrl": "http://prefect.example.org:4200/api", "server": {"enabled": False}}
NONE = {"name": ""}
COMPONENTS = {
    "tlsSync": ("run", "tls-sync-preflight"),
    "worker": ("tls-sync-worker",),
    "watch": ("tls-sync-watch",),
    "prefect.server": ("tls-sync-server",),
    "hook": ("tls-sync-register", "tls-sync-remove", "tls-sync-results"),
}
"""Where the values have the options of pods, and the names of these pods' owners."""

PLACEMENT = ("nodeSelector", "tolerations", "affinity", "topologySpreadConstraints", "priorityClassName")
"""Those options that are fields of a pod, where it may run."""


def pod_options(component: str) -> dict[str, Any]:
    """Return each option that a component's pods can have; the texts tell of which component they are."""
    name = component.lower().replace(".", "-")
    term = {"matchExpressions": [{"key": name, "operator": "Exists"}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    return {
        "nodeSelector": {"pool": name},
        "tolerations": [{"key": name, "operator": "Exists", "effect": "NoSchedule"}],
        "affinity": {"nodeAffinity": required},
        "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": f"zone/{name}", "whenUnsatisfiable": "ScheduleAnyway"}
        ],
        "priorityClassName": "system-cluster-critical",
        "podAnnotations": {"example.org/of": name},
        "podLabels": {"example.org/of": name},
        "extraEnv": [{"name": "SSL_CERT_FILE", "value": f"/mnt/{name}/ca.crt"}],
        "extraVolumes": [{"name": name, "configMap": {"name": name}}],
        "extraVolumeMounts": [{"name": name, "mountPath": f"/mnt/{name}", "readOnly": True}],
        "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": f"arn:aws:iam::1:role/{name}"}},
    }


VALUES: dict[str, dict[str, Any]] = {
    "embedded": {"prefect": {"authSecret": AUTH}},
    "embedded without a password": {"prefect": {"authSecret": NONE, "insecureNoPassword": True}},
    "existing server": {"prefect": {**EXISTING, "authSecret": AUTH}},
    "cloud": {
        "prefect": {
            "authSecret": NONE,
            "apiUrl": "https://api.prefect.cloud/api/accounts/a/workspaces/b",
            "apiKeySecret": {"name": "prefect-cloud", "key": "key"},
            "server": {"enabled": False},
        }
    },
    "everything": {
        "image": {"pullSecrets": ["registry"]},
        "commonLabels": {"team": "platform"},
        "tlsSync": pod_options("tlsSync"),
        "prefect": {"server": {**pod_options("prefect.server"), "ingress": INGRESS}},
        "hook": pod_options("hook"),
        "worker": {"replicas": 2, **pod_options("worker")},
        "watch": {"enabled": True, "replicas": 2, **pod_options("watch")},
        "results": {"persistence": {"enabled": True}},
        "networkPolicy": {
            "egress": EGRESS,
            "watchFrom": [{"podSelector": {}}],
            "serverFrom": [{"namespaceSelector": {"matchLabels": {"name": "ingress"}}}],
        },
        "metrics": {"pushgateway": {"url": "https://pushgateway:9091", "authSecret": AUTH, "ca": CA}},
        "grafanaDashboard": {"enabled": True},
    },
    "nothing that lasts": {
        "prefect": {"server": {"persistence": {"enabled": False}}},
        "networkPolicy": {"enabled": False},
        "tlsSync": {"sourceRole": False, "suspend": True},
    },
}
NAMESPACES = ("tls-sync", "certificates-ops")

KUBE_VERSION = "--kube-version=1.36.0"
"""For `helm template`, which asks no cluster; a Helm that Go built by itself has 1.20 in place of it."""


@cache
def helm() -> str:
    """A missing Helm fails in CI and skips elsewhere."""
    try:
        return str(locate("helm")["helm"])
    except SandboxError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no Helm can be had: {error}")


def run(*arguments: str, values: dict[str, Any] | None = None) -> subprocess.CompletedProcess[str]:
    """Run Helm with the values of a release, and these on top."""
    given = ["--values", str(CHART / "ci" / "values.yaml"), "--values", "-"]
    if arguments[0] == "template" and not any(one.startswith("--kube-version") for one in arguments):
        given.append(KUBE_VERSION)
    command = [helm(), *arguments, *given]
    return subprocess.run(
        command, input=json.dumps(values or {}), capture_output=True, text=True, check=False
    )


def render(
    values: dict[str, Any] | None = None,
    namespace: str = "tls-sync",
    release: str = "tls-sync",
    chart: Path = CHART,
) -> list[Manifest]:
    done = run("template", release, str(chart), "--namespace", namespace, values=values)
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def refusal(values: dict[str, Any], *options: str) -> str:
    """Return Helm's message for values that it refuses."""
    done = run("template", "tls-sync", str(CHART), "--namespace", "tls-sync", *options, values=values)
    assert done.returncode != 0, "these values were taken"
    return done.stderr


def one(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    (found,) = (m for m in manifests if (m["kind"], m["metadata"]["name"]) == (kind, name))
    return found


def work_pool(manifests: list[Manifest]) -> Manifest:
    """Return the base job template that the hook writes to Prefect."""
    template: Manifest = json.loads(
        one(manifests, "ConfigMap", "tls-sync-registration")["data"]["work-pool.json"]
    )
    return template


def pods(manifests: list[Manifest]) -> dict[str, Manifest]:
    """Return pods, and pod templates by their owners' names, with that of a run."""
    found = {}
    for manifest in [*manifests, work_pool(manifests)["job_configuration"]["job_manifest"]]:
        spec = manifest.get("spec", {})
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        if manifest["kind"] == "Pod":
            found[manifest["metadata"]["name"]] = manifest
        elif "template" in spec:
            found[manifest["metadata"].get("name", "run")] = spec["template"]
    return found


def containers(pod: Manifest) -> list[Manifest]:
    spec = pod["spec"]
    return [*spec.get("initContainers", []), *spec["containers"]]
