"""The chart and each manifest are valid for Helm and the API server, before anything runs."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.machine import NAMESPACE, CommandError, Machine
from tests.e2e.release import CHART, NAME, ROOT, values
from tests.support.chart import KUBE_VERSION

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

_TARGETS = sorted((ROOT / "tasks" / "setup" / "target").glob("*.yaml"))
_PER_NAMESPACE = "namespace-role.yaml"
_SOURCES = sorted((ROOT / "tasks" / "setup" / "ops").glob("*.yaml"))
_ARGOCD = sorted((ROOT / "deployments" / "argocd").glob("*.yaml"))


@pytest.fixture
def values_file(machine: Machine) -> Path:
    file = machine.directory / "checked-values.yaml"
    file.write_text(yaml.safe_dump(values(machine)))
    return file


def test_helm_finds_no_fault_in_the_chart(machine: Machine, values_file: Path) -> None:
    """`helm lint --strict` accepts the chart, with its own values and with ours."""
    machine.helm("lint", "--strict", str(CHART))
    machine.helm("lint", "--strict", str(CHART), "--values", str(values_file))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"tlsSync": {"schedule": 60}}, "schedule"),
        ({"tlsSync": {"schedul": "0 * * * *"}}, "schedul"),
        ({"tlsSync": {"resources": "256Mi"}}, "resources"),
        ({"image": {"pullPolicy": "Sometimes"}}, "pullPolicy"),
        ({"unknown": True}, "unknown"),
    ],
)
def test_the_schema_refuses_wrong_values_by_name(
    machine: Machine, tmp_path: Path, changes: dict[str, Any], named: str
) -> None:
    """`helm template` fails, and names the wrong value."""
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(changes))
    with pytest.raises(CommandError, match=named):
        machine.helm("template", NAME, str(CHART), KUBE_VERSION, "--values", str(file))


def test_the_api_server_accepts_all_that_the_chart_makes(machine: Machine, values_file: Path) -> None:
    """`kubectl apply --dry-run=server` accepts what Helm renders, hooks included."""
    # Not the pod of `helm test`: its account has to exist, so it is tried after the installation.
    where = ["--skip-tests", "--namespace", NAMESPACE, "--values", str(values_file)]
    rendered = machine.helm("template", NAME, str(CHART), KUBE_VERSION, *where)
    manifests = [manifest for manifest in yaml.safe_load_all(rendered) if manifest]
    elsewhere = [manifest for manifest in manifests if "namespace" in manifest["metadata"]]
    here = [manifest for manifest in manifests if manifest not in elsewhere]
    said = _dry_run(machine, "ops", text=yaml.safe_dump_all(elsewhere))
    said += _dry_run(machine, "ops", "--namespace", NAMESPACE, text=yaml.safe_dump_all(here))
    assert len(said.splitlines()) == len(manifests)


@pytest.mark.parametrize("file", _TARGETS, ids=lambda file: file.name)
def test_a_target_accepts_each_manifest_for_targets(machine: Machine, file: Path) -> None:
    """The API server accepts what people apply on DEV, RCT and PRD."""
    where = ["--namespace", "homarr-dev"] if file.name == _PER_NAMESPACE else []
    assert _dry_run(machine, "dev", *where, "--filename", str(file))


@pytest.mark.parametrize("file", _SOURCES, ids=lambda file: file.name)
def test_ops_accepts_each_manifest_for_the_source(machine: Machine, file: Path) -> None:
    """The API server accepts what people apply on OPS without the chart."""
    where = ["--namespace", "certificates-ops"] if file.name == _PER_NAMESPACE else []
    assert _dry_run(machine, "ops", *where, "--filename", str(file))


@pytest.mark.parametrize("file", _ARGOCD, ids=lambda file: file.name)
def test_the_application_set_is_an_object_of_its_kind(machine: Machine, file: Path) -> None:
    """The API server accepts it; its fields are not checked here, for want of Argo CD's schema."""
    for manifest in filter(None, yaml.safe_load_all(file.read_text())):
        group, _, version = manifest["apiVersion"].partition("/")
        machine.ops.ensure(_definition(group, version, manifest["kind"]))
        plural = f"{manifest['kind'].lower()}s"
        machine.kubectl("wait", "--for=condition=Established", f"crd/{plural}.{group}", "--timeout=60s")
        machine.ops.namespace(manifest["metadata"].get("namespace", "default"))
    where = ["--namespace", "certificates-ops"] if file.name == _PER_NAMESPACE else []
    assert _dry_run(machine, "ops", *where, "--filename", str(file))


def _dry_run(machine: Machine, cluster: str, *arguments: str, text: str | None = None) -> str:
    given = arguments if text is None else (*arguments, "--filename", "-")
    context = f"--context=cluster-{cluster}"
    how = ["--dry-run=server", "--server-side", "--force-conflicts", context]
    return machine.kubectl("apply", *how, *given, text=text)


def _definition(group: str, version: str, kind: str) -> dict[str, Any]:
    """Return a kind that accepts any fields."""
    plural = f"{kind.lower()}s"
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.lower(), "listKind": f"{kind}List"},
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": schema},
                }
            ],
        },
    }
