"""Which cluster is it, who are we there, and what may we do: before the first write."""

import base64
import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from deployments.sandbox.world.kubeconfig import context_name
from flows.commands.cluster_ids import run as print_cluster_ids
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import ClusterReport
from tasks.domain.reasons import Reason
from tasks.kubeconfig.reader import Access, connect
from tasks.plan.spec import RunMemory
from tests.support.clusters import TARGETS, Manifest, World, codes
from tests.support.fault_proxy import Answer, Forward, Request

pytestmark = pytest.mark.apiserver

ROLE = "/apis/rbac.authorization.k8s.io/v1/namespaces/app-a/roles/tls-sync"


def grant(world: World, *verbs: str) -> ClusterReport:
    """Deliver with these verbs on the Secrets of app-a; the shipped Role comes back with the next test."""
    rules = [{"apiGroups": [""], "resources": ["secrets"], "verbs": list(verbs)}]
    world.admin().patch(ROLE, {"rules": rules})
    time.sleep(0.5)  # the authorizer learns of it by a watch
    return world.sync()


@pytest.mark.parametrize("verb", ["create", "get", "patch"])
def test_a_missing_right_is_named_before_the_first_write(world: World, verb: str) -> None:
    """The verb, the resource and the namespace are said, and no write is tried."""
    world.issue("web-tls")
    start = world.log_position("dev")
    report = grant(world, *({"list", "create", "get", "patch"} - {verb}))
    assert codes(report) == [FailureCode.FORBIDDEN]
    assert str(report.failures[0]).startswith("Forbidden: write secrets in app-a: ")
    assert f"missing verbs: {verb}" in str(report.failures[0])
    assert "patch" not in [request["verb"] for request in world.requests("dev", start)]


@pytest.mark.parametrize("protected", [False, True])
def test_a_right_too_many_is_said_and_refused_on_a_protected_cluster(world: World, protected: bool) -> None:
    """An ordinary cluster is served with a warning, a protected one not at all."""
    world.issue("web-tls")
    world.configure(protected=protected)
    report = grant(world, "list", "create", "get", "patch", "delete")
    assert codes(report) == ([FailureCode.EXCESSIVE_RIGHTS] if protected else [])
    assert ["delete" in warning for warning in report.warnings] == ([] if protected else [True])
    assert (world.copy("web-tls") is None) == protected


def test_rights_are_asked_for_only_by_a_run_that_writes(world: World) -> None:
    """A run at rest asks nothing about them."""
    world.issue("web-tls")
    world.sync()
    world.sync()  # writes the note
    start = world.log_position("dev")
    world.sync()
    asked = [request["objectRef"]["resource"] for request in world.requests("dev", start)]
    assert asked == ["selfsubjectreviews", "namespaces", "secrets"]


def test_ops_is_never_its_own_target(world: World) -> None:
    """A context that leads to OPS is refused, whatever it is called, pinned or not."""
    world.issue("web-tls")
    world.edit_kubeconfig("contexts", "dev", cluster=context_name("ops"), user=context_name("ops"))
    for pinned in (None, world.ops.cluster_id()):
        world.configure(clusters=["dev"], clusterId=pinned)
        report = world.sync()
        assert codes(report) == [FailureCode.WRONG_CLUSTER]
        assert "it is OPS itself" in str(report.failures[0])


@pytest.mark.parametrize("pinned", [False, True])
def test_two_entries_never_lead_to_one_cluster(world: World, pinned: bool) -> None:
    """An unpinned entry that leads to the cluster of another one is refused, and that one's is left alone."""
    world.issue("web-tls")
    world.edit_kubeconfig("contexts", "dev", cluster=context_name("prd"), user=context_name("prd"))

    def unpin(document: Manifest) -> None:
        for entry in document["clusters"]:
            if entry["name"] == "dev" or not pinned:
                del entry["clusterId"]

    world.edit_config(unpin)
    run = RunMemory()
    assert world.sync("prd", memory=run).ok
    report = world.sync("dev", memory=run)
    assert codes(report) == [FailureCode.WRONG_CLUSTER]
    assert "it is the cluster of prd, too" in str(report.failures[0])


def test_nobody_in_particular_is_served_nothing(world: World) -> None:
    """Where an API server takes us for anonymous, nothing is read."""
    world.issue("web-tls")
    snapshot = world.snapshot()

    def forget(request: Request, forward: Forward) -> Answer:
        answer = forward()
        if "selfsubjectreviews" not in request.path:
            return answer
        content = json.loads(answer.body)
        content["status"]["userInfo"]["username"] = "system:anonymous"
        return Answer(answer.status, json.dumps(content).encode(), answer.headers)

    with world.proxy() as proxy:
        proxy.fault = forget
        report = world.sync(snapshot=snapshot)
        assert codes(report) == [FailureCode.UNAUTHORIZED]
        assert str(report.failures[0]).startswith(
            "Unauthorized: ask who we are (create selfsubjectreview): the credential is not accepted"
        )
        assert len(proxy.requests) == 1


def test_the_end_of_a_credential_is_warned_of(world: World) -> None:
    """A token with less than 72 hours left is said in the report, of OPS and of a target."""
    world.issue("web-tls")
    for cluster in ("ops", "dev"):
        token = world.admin(cluster).token("tls-sync", "tls-sync", 3 * 60 * 60)
        world.edit_kubeconfig("users", cluster, token=token)
    snapshot = world.snapshot()
    for warning in (*snapshot.warnings[-1:], *world.sync(snapshot=snapshot).warnings):
        assert "the credential in the kubeconfig expires in 2 hours" in warning


def test_the_cluster_ids_can_be_printed(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """A small command prints what is to be pinned, and says of a cluster that is down why it can't."""
    world.edit_kubeconfig("clusters", "rct", server="https://127.0.0.1:1")
    assert print_cluster_ids() == 1
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert lines[context_name("rct")].startswith("Unreachable: ")
    for cluster in {"ops", *TARGETS} - {"rct"}:
        assert lines[context_name(cluster)] == world.admin(cluster).cluster_id()


def test_cluster_ids_are_printed_one_per_line_whatever_contexts_are_called(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name can't forge a line; an unforeseen fault fails its own line; no context is no success."""
    document = yaml.safe_load(world.kubeconfig.read_text())
    (renamed,) = (one for one in document["contexts"] if one["name"] == context_name("rct"))
    renamed["name"] = "rct\n\x1b[2Jcluster-dev  forged"
    world.kubeconfig.write_text(yaml.safe_dump(document))

    def unforeseen(cluster: str, context: str | None, *, allow_exec: bool = False) -> Access:
        if context == context_name("prd"):
            raise RuntimeError("canary")
        return connect(cluster, context, allow_exec=allow_exec)

    monkeypatch.setattr("flows.commands.cluster_ids.connect", unforeseen)
    assert print_cluster_ids() == 1
    told = capsys.readouterr().out
    assert len(told.splitlines()) == 4
    assert "rct??[2Jcluster-dev  forged  " in told
    assert "InternalError" in told
    assert "canary" not in told
    world.kubeconfig.write_text("contexts: []")
    assert print_cluster_ids() == 1
    assert capsys.readouterr().err.startswith("tls-sync: the kubeconfig has no context; ")


def test_a_secret_that_asks_for_it_is_adopted(world: World) -> None:
    """What a kubectl loop made is taken over, and what holds the key once more goes with it."""
    (secret,) = world.issue("web-tls")
    last_applied = "kubectl.kubernetes.io/last-applied-configuration"
    key = base64.b64decode(secret["data"]["tls.key"]).decode()
    annotations = {last_applied: key, "tls-sync.io/adopt": "ops", "cert-manager.io/certificate-name": "x"}
    begin = datetime.now(UTC) - timedelta(days=60)
    old = world.issuer.secret("web-tls", ["web-tls.example.org"], not_before=begin)
    old["metadata"] = {"name": "web-tls", "namespace": "app-a", "annotations": annotations}
    world.admin().create(old)
    row = world.row("web-tls")
    assert (row.reason, row.applied) == (Reason.ADOPTED, True)
    copy = world.copy("web-tls")
    assert copy is not None
    assert copy["data"] == secret["data"]
    assert not {last_applied, "tls-sync.io/adopt"} & set(copy["metadata"]["annotations"])
    assert world.row("web-tls").reason is Reason.IN_SYNC


def test_a_newer_secret_is_not_adopted(world: World) -> None:
    """The annotation does not make us replace a certificate by an older one."""
    (secret,) = world.issue("web-tls")
    newer = world.issuer.renew(secret)
    newer["metadata"] = {"name": "web-tls", "namespace": "app-a", "annotations": {"tls-sync.io/adopt": "ops"}}
    world.admin().create(newer)
    before = world.versions()
    assert world.row("web-tls").reason is Reason.WOULD_DOWNGRADE
    assert world.versions() == before


@pytest.mark.parametrize("allowed", [False, True])
def test_an_exec_plugin_gives_the_credential_where_it_is_allowed(
    world: World, tmp_path: Path, allowed: bool
) -> None:
    """With allowExec the plugin's token opens the door; without it the plugin is not even run."""
    world.issue("web-tls")
    document = yaml.safe_load(world.kubeconfig.read_text())
    (user,) = (user for user in document["users"] if user["name"] == context_name("dev"))
    given = {"kind": "ExecCredential", "status": {"token": user["user"]["token"]}}
    (tmp_path / "answer.json").write_text(json.dumps(given))
    script = f"touch {tmp_path}/run; cat {tmp_path}/answer.json"
    api = "client.authentication.k8s.io/v1"
    user["user"] = {"exec": {"apiVersion": api, "command": "sh", "args": ["-c", script]}}
    world.kubeconfig.write_text(yaml.safe_dump(document))
    world.configure(clusters=["dev"], allowExec=allowed)
    assert codes(world.sync()) == ([] if allowed else [FailureCode.KUBECONFIG])
    assert (tmp_path / "run").exists() == allowed
    assert (world.copy("web-tls") is not None) == allowed
