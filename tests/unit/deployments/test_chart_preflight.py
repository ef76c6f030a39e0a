"""`helm test` runs the preflight in a pod that has what a run's pod has, and no more."""

from typing import Any

import pytest

from tests.support.chart import VALUES, Manifest, one, pods, render, work_pool

pytestmark = [pytest.mark.apiserver, pytest.mark.timeout(1500)]

WAYS = pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
NAME = "tls-sync-preflight"
MOUNTED = {"/tmp", "/etc/tls-sync", "/etc/tls-sync-kubeconfig"}


def both(values: dict[str, Any]) -> tuple[Manifest, Manifest]:
    """Return the test's pod and a run's."""
    shown = pods(render(values))
    return shown[NAME], shown["run"]


@WAYS
def test_the_tests_pod_is_like_a_runs(values: dict[str, Any]) -> None:
    """Account, image, security, placement and labels are a run's, so what works here works there."""
    test, run = both(values)
    ours, theirs = test["spec"], run["spec"]
    different = {"containers", "volumes", "activeDeadlineSeconds", "parallelism", "completions"}
    assert {key: ours[key] for key in ours.keys() - different} == {
        key: theirs[key] for key in theirs.keys() - different
    }
    (one_container,), (other,) = ours["containers"], theirs["containers"]
    for field in ("image", "imagePullPolicy", "securityContext"):
        assert one_container[field] == other[field], field
    labels = {**run["metadata"]["labels"], "app.kubernetes.io/managed-by": "Helm"}
    assert test["metadata"]["labels"] == labels


@WAYS
def test_the_tests_pod_reads_what_a_run_reads(values: dict[str, Any]) -> None:
    """Configuration and kubeconfig are mounted as in a run's pod; there is no volume for results."""
    test, run = both(values)
    (container,), (other,) = test["spec"]["containers"], run["spec"]["containers"]
    assert container["args"] == ["tls-sync", "preflight"]
    assert {mount["mountPath"] for mount in container["volumeMounts"]} >= MOUNTED
    assert container["volumeMounts"] == [one for one in other["volumeMounts"] if one["name"] != "results"]
    assert test["spec"]["volumes"] == [one for one in run["spec"]["volumes"] if one["name"] != "results"]
    ours, theirs = ({one["name"]: one for one in found["env"]} for found in (container, other))
    assert ours == {name: one for name, one in theirs.items() if not name.startswith("PREFECT_")}
    assert {"TLS_SYNC_CONFIG", "KUBECONFIG"} <= ours.keys()


def test_the_test_has_the_resources_of_a_run() -> None:
    """Nothing of Prefect's template is left in it, and its limits are those of the values."""
    given = {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"cpu": "2", "memory": "300Mi"}}
    test, _ = both({"tlsSync": {"resources": given}})
    assert test["spec"]["containers"][0]["resources"] == given
    assert "{{" not in str(test)


def test_a_test_ends_before_helm_gives_up() -> None:
    """The pod is killed within Helm's five minutes, never restarted, and its report is in Helm's output."""
    test = one(render(), "Pod", NAME)
    assert test["spec"]["activeDeadlineSeconds"] < 300
    assert test["spec"]["restartPolicy"] == "Never"
    notes = test["metadata"]["annotations"]
    assert notes["helm.sh/hook"] == "test"
    assert notes["helm.sh/hook-output-log-policy"] == "hook-succeeded,hook-failed"


def test_runs_are_not_changed_by_the_test() -> None:
    """The template of runs, of which the pod is made, still has its placeholders and all its volumes."""
    spec = work_pool(render())["job_configuration"]["job_manifest"]["spec"]["template"]["spec"]
    assert "{{ log_level }}" in str(spec["containers"][0]["env"])
    assert "results" in {volume["name"] for volume in spec["volumes"]}
