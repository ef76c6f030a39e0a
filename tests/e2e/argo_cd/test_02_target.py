"""A target that Argo CD manages, too: neither takes what is the other's."""

import base64
import json

import pytest

from deployments.sandbox.argo_cd.controllers import NAMESPACE
from deployments.sandbox.argo_cd.repository import Repository
from deployments.sandbox.clusters.manifests import Manifest
from deployments.sandbox.world import oracle
from deployments.sandbox.world.oracle import Place
from tests.e2e.argo_cd.git_ops import GitOps
from tests.e2e.machine import Machine

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]

APP = "homarr"
_OURS = Place("dev", "homarr-dev", "homarr-dev-tls")
_THEIRS = Place("dev", "homarr-dev", "from-git-tls")


@pytest.fixture(scope="module")
def application(machine: Machine, git_ops: GitOps) -> str:
    """An Application of DEV, with prune and self-heal, whose git has a ConfigMap and a Secret."""
    machine.ops.create(cluster_secret(machine, "dev"))
    repository = Repository(machine.directory / "git" / APP)
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": APP}, "data": {"title": "Homarr"}}
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": _THEIRS.name},
        "type": "kubernetes.io/tls",
        "stringData": {"tls.crt": "placeholder", "tls.key": "placeholder"},
    }
    files = {"config.yaml": json.dumps(config), "secret.yaml": json.dumps(secret)}
    repository.push(files, "Homarr on DEV")
    machine.ops.create(
        {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Application",
            "metadata": {"name": APP, "namespace": NAMESPACE},
            "spec": {
                "project": "default",
                "source": {"repoURL": repository.url, "path": ".", "targetRevision": "main"},
                "destination": {"name": "dev", "namespace": _OURS.namespace},
                "syncPolicy": {"automated": {"prune": True, "selfHeal": True}},
            },
        }
    )
    git_ops.await_(f"{APP} to be Synced and Healthy", lambda: is_synced(git_ops), APP)
    return APP


def test_a_copy_is_not_theirs(machine: Machine, git_ops: GitOps, application: str) -> None:
    """Argo CD, with prune, neither lists nor deletes nor changes a copy beside its own objects."""
    before = oracle.look(machine.sandbox).secrets[_OURS]
    git_ops.refresh(application)
    managed = {one["name"] for one in git_ops.application(application)["status"]["resources"]}
    assert managed == {APP, _THEIRS.name}
    run = git_ops.prefect.carry_out(cluster="dev")
    assert run.state == "Completed"
    git_ops.refresh(application)
    git_ops.await_(f"{APP} to be Synced and Healthy", lambda: is_synced(git_ops), APP)
    assert oracle.look(machine.sandbox).secrets[_OURS] == before


def test_what_is_theirs_is_refused(machine: Machine, git_ops: GitOps, application: str) -> None:
    """A route to a Secret that Argo CD deploys is refused as OwnedByArgoCD, and the Secret stays."""
    before = oracle.look(machine.sandbox).secrets[_THEIRS]
    former = git_ops.values["tlsSync"]["config"]
    config, routes = git_ops.routes_of("dev")
    routes.append(
        {"certificates": ["homarr-dev-tls"], "namespaces": [_THEIRS.namespace], "name": _THEIRS.name}
    )
    git_ops.push(config=config)
    run = git_ops.prefect.carry_out(cluster="dev")
    assert run.state_type == "FAILED"
    git_ops.prefect.await_log(run.id, "OwnedByArgoCD")
    assert oracle.look(machine.sandbox).secrets[_THEIRS] == before
    git_ops.push(config=former)


def test_deleted_application_leaves_copies(machine: Machine, git_ops: GitOps, application: str) -> None:
    """With its Application, Argo CD deletes what it had deployed, and no copy."""
    before = oracle.look(machine.sandbox).secrets[_OURS]
    path = f"/apis/argoproj.io/v1alpha1/namespaces/{NAMESPACE}/applications/{application}"
    # In the background, since no controller manager of DEV would delete in the foreground.
    finalizers = ["resources-finalizer.argocd.argoproj.io/background"]
    machine.ops.patch(path, {"metadata": {"finalizers": finalizers}})
    machine.ops.delete(path)
    git_ops.await_("the Application to be gone", lambda: not git_ops.exists(application), application)
    after = oracle.look(machine.sandbox).secrets
    assert _THEIRS not in after
    assert after[_OURS] == before


def is_synced(git_ops: GitOps) -> bool:
    status = git_ops.application(APP).get("status", {})
    return bool(status.get("sync", {}).get("status") == "Synced" and status["health"]["status"] == "Healthy")


def cluster_secret(machine: Machine, name: str) -> Manifest:
    """Return the Secret that makes a cluster known to Argo CD."""
    server = machine.sandbox.cluster(name)
    config = {
        "bearerToken": server.admin_token,
        "tlsClientConfig": {"caData": base64.b64encode(server.ca_pem).decode()},
    }
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": f"cluster-{name}",
            "namespace": NAMESPACE,
            "labels": {"argocd.argoproj.io/secret-type": "cluster"},
        },
        "stringData": {"name": name, "server": server.url, "config": json.dumps(config)},
    }
