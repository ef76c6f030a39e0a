"""The command `tls-sync` on real servers: a proposed configuration, a plan, and a deployed run."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from prefect.settings import PREFECT_API_URL

from deployments.sandbox.world.cert_manager import SOURCE_NAMESPACE
from deployments.sandbox.world.kubeconfig import context_name
from tasks.config.load import load_config
from tasks.orchestration.prefect_api import prefect_api
from tests.support.cli_user import Done, Operator
from tests.support.clusters import TARGETS, World
from tests.support.waiting import until

pytestmark = [pytest.mark.apiserver, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "flows.cli")
SERVED = "from flows.tls_sync import tls_sync; tls_sync.serve(name='ops', tags=['tls-sync'])"
SECONDS = 180.0


def environment() -> dict[str, str]:
    """The process of the tests has them, with their Prefect server."""
    return os.environ | {"PREFECT_API_URL": PREFECT_API_URL.value() or ""}


def typed(*words: str) -> Done:
    done = subprocess.run(
        [*COMMAND, *words], cwd=ROOT, env=environment(), capture_output=True, text=True, check=False
    )
    return Done(done.returncode, done.stdout, done.stderr)


def certificate(world: World, name: str, *hosts: str) -> None:
    """A Certificate, as people write them."""
    manifest = {
        "apiVersion": "cert-manager.io/v1",
        "kind": "Certificate",
        "metadata": {"name": name.removesuffix("-tls"), "namespace": SOURCE_NAMESPACE},
        "spec": {"secretName": name, "dnsNames": hosts, "issuerRef": {"name": "letsencrypt-prod"}},
    }
    path = f"/apis/cert-manager.io/v1/namespaces/{SOURCE_NAMESPACE}/certificates/{name.removesuffix('-tls')}"
    world.ops.apply(path, manifest, "a-person", force=True)


def test_init_proposes_what_the_clusters_have(
    cert_manager: World, operator: Operator, tmp_path: Path
) -> None:
    """Clusters and namespaces are those that kubectl finds; no Secret is read, and nothing written."""
    certificate(cert_manager, "app-a-tls", "a.example.org")
    certificate(cert_manager, "app-b-dev-tls", "b.dev.example.org")
    certificate(cert_manager, "lonely-tls", "lonely.example.org")
    before = {name: cert_manager.log_position(name) for name in ("ops", *TARGETS)}
    file = tmp_path / "proposed.yaml"
    done = operator.run(*COMMAND, "init", "--file", str(file))
    assert (done.status, done.errors) == (0, "")
    assert "2 of 3 certificates on " in done.output
    assert "No route yet, since no namespace begins like them: lonely-tls\n" in done.output
    wrong = (*COMMAND, "init", "--file", str(tmp_path / "x.yaml"), "--ops-context", context_name("ops"))
    done_wrong = operator.run(*wrong, "--namespace", "default")
    assert done_wrong.status == 1
    assert "namespace default on OPS (cluster-ops) has no Certificate of cert-manager" in done_wrong.errors
    assert f"there are some in {SOURCE_NAMESPACE}: say which one by --namespace" in done_wrong.errors
    assert not (tmp_path / "x.yaml").exists()
    assert done.output.endswith("KUBECONFIG=tls-sync.kubeconfig tls-sync sync\n")  # the last step to a copy
    config = load_config(str(file))
    assert config.source.context == context_name("ops")
    targets = [one for one in config.clusters if one.name in TARGETS]  # other tests may have added clusters
    assert {one.name: one.context for one in targets} == {name: context_name(name) for name in TARGETS}
    routed = {one.name: [(r.certificates, r.namespaces) for r in one.routes] for one in targets}
    both = [(("app-a-tls",), ("app-a",)), (("app-b-dev-tls",), ("app-b",))]
    assert routed == {"dev": both, "rct": both[:1], "prd": both[:1]}
    for name, since in before.items():
        asked = [
            one for one in cert_manager.requests(name, since) if one["user"]["username"] == "sandbox-admin"
        ]
        assert {one["verb"] for one in asked} <= {"get", "list"}
        assert not [one for one in asked if "/secrets" in one["requestURI"]]
    again = operator.run(*COMMAND, "init", "--file", str(file))
    assert again.status == 1
    assert again.errors.startswith(f"tls-sync: {file} exists already: ")
    shown = operator.run(*COMMAND, "rights", "manifests", "--ops", "--config", str(file))
    kinds = [(one["kind"], one["metadata"].get("namespace")) for one in yaml.safe_load_all(shown.output)]
    assert ("Role", SOURCE_NAMESPACE) in kinds
    assert operator.apply("ops", shown.output).status == 0


def test_init_says_which_cluster_may_be_ops(operator: Operator, tmp_path: Path) -> None:
    """Where no cluster has the namespace of the certificates, nothing is written, and the option is named."""
    done = operator.run(*COMMAND, "init", "--file", str(tmp_path / "x.yaml"), "--namespace", "nowhere")
    assert done.status == 1
    assert "no context of your kubeconfig has a namespace nowhere: say which cluster is OPS" in done.errors
    done = operator.run(*COMMAND, "init", "--file", str(tmp_path / "x.yaml"), "--ops-context", "gone")
    assert "no context gone in your kubeconfig, which has: " in done.errors
    assert not (tmp_path / "x.yaml").exists()


@pytest.mark.usefixtures("prefect_server")
def test_a_plan_says_by_its_status_whether_something_is_to_be_done(world: World) -> None:
    """2 before a sync, 0 after it, 1 where a Secret is not ours; stdout is JSON, and no copy is made."""
    world.issue("web-tls")
    words = ("plan", "--cluster", "dev", "--detailed-exitcode", "-o", "json")
    done = typed(*words)
    assert done.status == 2, done.errors
    (cluster,) = json.loads(done.output)["clusters"]
    assert [(one["action"], one["secret"]) for one in cluster["changes"]] == [("create", "web-tls")]
    assert world.copy("web-tls") is None
    assert typed("sync", "--cluster", "dev").status == 0
    done = typed(*words)
    assert (done.status, json.loads(done.output)["clusters"][0]["counts"]) == (0, {"keep": 1})
    foreign = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": {"name": "web-foreign-tls", "namespace": "app-a"},
    }
    world.put(foreign, "dev")
    world.issue("web-foreign-tls")
    done = typed(*words)
    assert (done.status, json.loads(done.output)["state"]) == (1, "ClustersFailed")


@contextmanager
def served(directory: Path) -> Iterator[None]:
    """The flow's deployment, with a process that takes its runs."""
    with (directory / "served.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVED], cwd=ROOT, env=environment(), stdout=log, stderr=log
        )
        try:
            until("it is registered", _is_registered, SECONDS)
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def _is_registered() -> bool:
    with prefect_api() as client:
        return any(one.name == "ops" for one in client.read_deployments())


@pytest.mark.usefixtures("prefect_server")
def test_a_deployed_run_is_started_and_followed(world: World, tmp_path: Path) -> None:
    """Its states and report are shown, and the status is the run's; a wrong name lists the right ones."""
    world.issue("web-tls")
    done = typed("sync", "--deployment", "gone")
    assert done.status == 1
    assert "Prefect has no deployment tls-sync/gone; those of tls-sync are: " in done.errors
    with served(tmp_path):
        done = typed("sync", "--deployment", "ops", "-p", "clusters=dev")
        assert (done.status, done.output) == (1, "")
        assert "ops has no parameter clusters; it has: cluster, certificate, " in done.errors
        done = typed("sync", "--deployment", "ops", "--cluster", "dev", "--follow")
        assert (done.status, done.errors) == (0, ""), done
        assert " Completed" in done.output
        assert "tls-sync: 1 cluster: create 1" in done.output
        assert "Finished in state" not in done.output
        assert world.copy("web-tls") is not None
        assert world.copy("web-tls", "rct") is None
        with world.down("dev"):
            done = typed("sync", "--deployment", "tls-sync/ops", "-p", "cluster=dev", "--follow")
        assert done.status == 1
        assert "Unreachable" in done.output
