"""The options of pods: each component has its own, and none replaces what the chart sets."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.support.chart import (
    CHART,
    COMPONENTS,
    PLACEMENT,
    VALUES,
    Manifest,
    containers,
    pod_options,
    pods,
    refusal,
    render,
    work_pool,
)

pytestmark = [pytest.mark.apiserver, pytest.mark.timeout(1500)]

COMPONENT = pytest.mark.parametrize("component", COMPONENTS)
RECOMMENDED = {
    *(f"app.kubernetes.io/{name}" for name in ("name", "instance", "component", "version", "part-of")),
    *("app.kubernetes.io/managed-by", "helm.sh/chart"),
}
ACCOUNTS = {
    "tls-sync": "tlsSync",
    "tls-sync-worker": "worker",
    "tls-sync-watch": "watch",
    "tls-sync-server": "prefect.server",
    "tls-sync-hook": "hook",
    "tls-sync-remove": "hook",
}
"""Whose annotations each ServiceAccount has."""
ROLE = "eks.amazonaws.com/role-arn"
EVERYTHING: dict[str, Any] = {
    **VALUES["everything"],
    "watch": {**VALUES["everything"]["watch"], "podMonitor": {"enabled": True}},
    "prometheusRule": {"enabled": True},
}


def nested(component: str, options: dict[str, Any]) -> dict[str, Any]:
    """Return the values that have these options at the component."""
    for key in reversed(component.split(".")):
        options = {key: options}
    return options


def metadata_of(manifests: list[Manifest]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the metadata of each object and of each pod."""
    for one in manifests:
        yield f"{one['kind']} {one['metadata']['name']}", one["metadata"]
        if one["kind"] == "CronJob":
            yield "a Job of the CronJob", one["spec"]["jobTemplate"]["metadata"]
    yield "a run's Job", work_pool(manifests)["job_configuration"]["job_manifest"]["metadata"]
    for name, pod in pods(manifests).items():
        yield f"pod of {name}", pod["metadata"]


def selectors(part: Any) -> Iterator[Any]:
    """Yield each selector in an object, however deep."""
    if isinstance(part, dict):
        for key, value in part.items():
            if key.lower().endswith("selector") and key != "nodeSelector":
                yield value
            else:
                yield from selectors(value)
    elif isinstance(part, list):
        for value in part:
            yield from selectors(value)


@COMPONENT
def test_each_component_has_its_own_options(component: str) -> None:
    """All options of a component are in each of its pods and containers, and none is another component's."""
    shown = pods(render(VALUES["everything"]))
    given = pod_options(component)
    for name in COMPONENTS[component]:
        pod = shown[name]
        assert {field: pod["spec"][field] for field in PLACEMENT} == {key: given[key] for key in PLACEMENT}
        assert given["podLabels"].items() <= pod["metadata"]["labels"].items()
        assert given["podAnnotations"].items() <= pod["metadata"]["annotations"].items()
        further = [one for one in pod["spec"]["volumes"] if one in given["extraVolumes"]]
        assert further == given["extraVolumes"]
        for container in containers(pod):
            assert [one for one in container["env"] if one["name"] == "SSL_CERT_FILE"] == given["extraEnv"]
            mounts = [one for one in container["volumeMounts"] if one["mountPath"].startswith("/mnt/")]
            assert mounts == given["extraVolumeMounts"]


def test_pods_have_no_options_by_default() -> None:
    """Without these values a pod has none of the fields, and no volume or variable of them."""
    for name, pod in pods(render()).items():
        assert [field for field in PLACEMENT if field in pod["spec"]] == [], name
        notes = pod["metadata"].get("annotations", {})
        assert [key for key in notes if not key.startswith("helm.sh/")] == [], name


def test_every_component_is_known_to_values_and_schema() -> None:
    """values.yaml has each option for each component, and the schema has one definition for all of them."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())
    options = set(schema["$defs"]["PodOptions"]["properties"])
    assert options == set(pod_options("tlsSync"))
    for component in COMPONENTS:
        at, of = values, schema
        for key in component.split("."):
            at, of = at[key], of["properties"][key]
        assert options <= set(at), component
        assert not any(at[option] for option in options - {"serviceAccount"}), component
        assert at["serviceAccount"] == {"annotations": {}}
        assert of["allOf"] == [{"$ref": "#/$defs/PodOptions"}], component
        assert {option: of["properties"][option] for option in options} == dict.fromkeys(options, True)


@pytest.mark.parametrize("values", [{}, EVERYTHING], ids=["by default", "with everything"])
def test_every_object_has_the_recommended_labels(values: dict[str, Any]) -> None:
    """Each object and each pod, runs' too, has the labels of Kubernetes and Helm, and the common ones."""
    manifests = render({**values, "commonLabels": {"team": "platform", "cost-center": "12"}})
    for what, metadata in metadata_of(manifests):
        labels = metadata["labels"]
        assert labels.keys() >= RECOMMENDED, what
        assert (labels["team"], labels["cost-center"]) == ("platform", "12"), what
        assert all(isinstance(value, str) for value in labels.values()), what


def test_labels_change_no_selector() -> None:
    """Common labels and pods' labels are in no selector, so they can be changed in a release."""
    labels = {"podLabels": {"a": "b"}}
    values: dict[str, Any] = {"commonLabels": {"team": "platform"}, "watch": {"enabled": True}}
    plain = list(selectors(render({"watch": {"enabled": True}})))
    for component in COMPONENTS:
        head, *rest = component.split(".")
        values[head] = {**values.get(head, {}), **(nested(rest[0], labels) if rest else labels)}
    assert list(selectors(render(values))) == plain
    assert len(plain) > 10


def test_every_account_has_the_annotations_of_its_component() -> None:
    """A cloud gives each component an identity of its own; the server has an account only for that."""
    manifests = render(EVERYTHING)
    accounts = {one["metadata"]["name"]: one for one in manifests if one["kind"] == "ServiceAccount"}
    assert set(accounts) == set(ACCOUNTS)
    for name, component in ACCOUNTS.items():
        wanted = pod_options(component)["serviceAccount"]["annotations"]
        assert wanted.items() <= accounts[name]["metadata"]["annotations"].items(), name
        assert accounts[name]["automountServiceAccountToken"] is False
    assert accounts["tls-sync-remove"]["metadata"]["annotations"]["helm.sh/hook"] == "pre-delete"
    assert pods(manifests)["tls-sync-server"]["spec"]["serviceAccountName"] == "tls-sync-server"
    plain = render()
    assert pods(plain)["tls-sync-server"]["spec"]["serviceAccountName"] == "tls-sync-hook"
    assert "tls-sync-server" not in {m["metadata"]["name"] for m in plain if m["kind"] == "ServiceAccount"}


@COMPONENT
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"podLabels": {"app": "x"}}, ".podLabels may not have the label app,"),
        *(
            ({"podLabels": {label: "x"}}, f".podLabels may not have the label {label},")
            for label in (*sorted(RECOMMENDED), "prefect.io/flow-run-id")
        ),
        *(
            ({"extraEnv": [{"name": name, "value": "x"}]}, f".extraEnv may not set {name}:")
            for name in ("KUBECONFIG", "TLS_SYNC_CONFIG", "PREFECT_API_URL", "PYTHONPATH")
        ),
        ({"extraVolumes": [{"name": "kubeconfig", "emptyDir": {}}]}, "may not have the name kubeconfig,"),
        ({"extraVolumeMounts": [{"name": "tmp", "mountPath": "/x"}]}, "names the volume tmp, and"),
        *(
            (
                {
                    "extraVolumes": [{"name": "ca", "emptyDir": {}}],
                    "extraVolumeMounts": [{"name": "ca", "mountPath": path}],
                },
                f"extraVolumeMounts may not be at {path},",
            )
            for path in ("/", "/tmp", "/etc/tls-sync", "/etc/tls-sync-kubeconfig/x", "/opt/venv", "/opt/")
        ),
        ({"podAnnotations": {"tls-sync.io/source": "x"}}, "may not have the annotation tls-sync.io/source,"),
        (
            {"serviceAccount": {"annotations": {"helm.sh/hook": "test"}}},
            "may not have the annotation helm.sh/hook,",
        ),
        ({"podLabels": {"a": "b c"}}, "/podLabels/a'"),
        ({"nodeSelector": {"pool": 1}}, "/nodeSelector/pool'"),
        ({"extraEnv": [{"value": "x"}]}, "/extraEnv/0'"),
        ({"extraEnv": {"A": "b"}}, "/extraEnv'"),
        ({"serviceAccount": {"name": "x"}}, "'name' not allowed"),
        ({"nodeSelectors": {}}, "'nodeSelectors' not allowed"),
    ],
    ids=str,
)
def test_nothing_of_the_chart_is_replaced(component: str, options: dict[str, Any], words: str) -> None:
    """Reserved labels, variables, volumes and annotations are refused by name, at each component."""
    said = refusal(nested(component, options))
    assert words in said
    assert component in said or component.replace(".", "/") in said


@pytest.mark.parametrize("label", ["app", "app.kubernetes.io/component", "helm.sh/chart"])
def test_common_labels_replace_none_of_ours(label: str) -> None:
    """A reserved label among the common ones is refused by name."""
    assert f"commonLabels may not have the label {label}," in refusal({"commonLabels": {label: "x"}})


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "AWS_REGION", "SSL_CERT_FILE", "KUBECONFIG_NOTE", "LANG"])
def test_other_variables_are_taken(name: str) -> None:
    """Variables of other programs are allowed, and so are folders of one's own."""
    given = {
        "extraEnv": [{"name": name, "value": "x"}],
        "extraVolumes": [{"name": "ca", "configMap": {"name": "ca"}}],
        "extraVolumeMounts": [{"name": "ca", "mountPath": "/etc/ssl/certs", "readOnly": True}],
    }
    for component in COMPONENTS:
        assert render(nested(component, given))


def test_prefect_replaces_nothing_in_a_runs_pod() -> None:
    """Two braces are a variable of Prefect in the template of a run, and could name a block with a secret."""
    given = {"extraEnv": [{"name": "A", "value": "{{ prefect.blocks.secret.x }}"}]}
    assert "tlsSync.extraEnv has {{, which Prefect replaces" in refusal({"tlsSync": given})
    assert render({"worker": given})


def test_values_of_a_former_release_still_do() -> None:
    """`helm upgrade --reuse-values` has no new value: the chart renders as with empty ones."""
    others = {"watch": ("serviceMonitor",), "prefect.server": ("ingress", "httpRoute")}
    missing: dict[str, Any] = {"commonLabels": None}
    for component in COMPONENTS:
        missing |= nested(component, dict.fromkeys([*pod_options(component), *others.get(component, ())]))
    shown = {"watch": {"enabled": True}, "grafanaDashboard": {"enabled": True}}
    missing["watch"]["enabled"] = True
    missing["grafanaDashboard"] = {"enabled": True, "labels": None, "folder": None, "folderAnnotation": None}
    assert render(missing) == render(shown)
