"""The preflight on real API servers: each fault is named, and nothing is written."""

import base64
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployments.sandbox.clusters import manifests, pki
from deployments.sandbox.clusters.control_plane import Sandbox
from deployments.sandbox.world import certificate_resource
from deployments.sandbox.world.kubeconfig import context_name
from deployments.sandbox.world.oracle import ACCOUNT
from tasks.config.load import load_config
from tasks.kube.permissions import REQUIRED
from tasks.preflight import render
from tasks.preflight.model import Check, CheckStatus, Finding, Preflight, Readiness
from tasks.preflight.probe import preflight
from tests.apiserver.scenarios import over_quota, webhook_that_is_down
from tests.support.clusters import CLUSTERS, TARGETS, World
from tests.support.fault_proxy import Answer, Forward, Request
from tests.support.secret_scan import found_in

pytestmark = pytest.mark.apiserver

ROOT = Path(__file__).parents[2]
RBAC = "/apis/rbac.authorization.k8s.io/v1"
POLICY = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings/tls-sync"
ROLE = f"{RBAC}/namespaces/app-a/roles/tls-sync"
SECONDS = 60


@pytest.fixture(scope="module", autouse=True)
def cert_manager(sandbox: Sandbox) -> Iterator[None]:
    """OPS knows cert-manager's Certificates."""
    admin = sandbox.cluster("ops").admin
    certificate_resource.install(admin)
    yield
    certificate_resource.remove(admin)


@pytest.fixture(autouse=True)
def issued(world: World) -> None:
    """OPS holds one certificate."""
    world.issue("web-tls")


def look(cluster: str | None = None) -> Preflight:
    return preflight(load_config(), cluster)


def of(name: str, found: Preflight) -> Readiness:
    (one,) = [one for one in (found.ops, *found.clusters) if one.cluster == name]
    return one


def eventually(name: str, check: Check, status: CheckStatus) -> Readiness:
    """An API server learns of new rights and policies by a watch, some moments later."""
    deadline = time.monotonic() + SECONDS
    while (found := of(name, look())).status(check) is not status:
        assert time.monotonic() < deadline, found.problems
        time.sleep(0.1)
    return found


def the_only_trouble(found: Readiness) -> Finding:
    (problem,) = found.problems
    return problem


def others_are_ready(found: Preflight, *but: str) -> bool:
    return not any(one.problems for one in (found.ops, *found.clusters) if one.cluster not in but)


def marks(found: Readiness) -> str:
    return "".join(found.status(check) for check in Check)


def test_all_is_fine_in_the_sandbox(world: World) -> None:
    """With the shipped rights and the shipped policy every check of every cluster is fine."""
    found = look()
    assert [marks(one) for one in found.clusters] == ["✓" * 9] * 3
    assert marks(found.ops) == "✓✓✓✓✓✓✓-✓"
    assert others_are_ready(found)
    assert render.verdict(found).message == "preflight: OPS and 3 clusters ready"
    assert render.render(found).endswith("\nOPS: 1 TLS Secret in certificates-ops")


def test_nothing_is_written(world: World) -> None:
    """All that it sends is a question or a dry run, and no Secret is another than before."""
    world.edit_kubeconfig("clusters", "rct", server="https://127.0.0.1:1")
    before = {name: world.versions(name) for name in TARGETS}
    positions = {name: world.log_position(name) for name in CLUSTERS}
    look()
    asked = {name: world.requests(name, positions[name]) for name in CLUSTERS}
    assert {name for name in CLUSTERS if asked[name]} == {"ops", "dev", "prd"}
    for request in (request for requests in asked.values() for request in requests):
        question = request["verb"] in ("get", "list") or "selfsubject" in request["requestURI"]
        assert question or (request["verb"] == "patch" and "dryRun=" in request["requestURI"]), request
    assert {name: world.versions(name) for name in TARGETS} == before


def test_no_private_key_is_read(world: World) -> None:
    """The Secrets of OPS are counted without their data, and those of a target are not even listed."""
    with world.proxy("ops") as ops, world.proxy("dev") as dev:
        assert look().ops.ready
        listed = [one for one in ops.requests if "/secrets" in one.path]
        assert [one.headers["Accept"].split(";")[1] for one in listed] == ["as=Table"]
        assert all("/secrets/tls-sync-preflight" in r.path for r in dev.requests if "/secrets" in r.path)


def test_an_unknown_context_is_named(world: World) -> None:
    """With the contexts that there are; the other clusters are looked at."""
    world.edit_kubeconfig("contexts", "dev")
    document = yaml.safe_load(world.kubeconfig.read_text())
    document["contexts"] = [one for one in document["contexts"] if one["name"] != context_name("dev")]
    world.kubeconfig.write_text(yaml.safe_dump(document))
    found = look()
    problem = the_only_trouble(of("dev", found))
    assert (problem.check, problem.name) == (Check.CONTEXT, "KubeconfigInvalid")
    assert "no context of that name in `contexts`; known are: cluster-ops" in problem.text
    assert others_are_ready(found, "dev")
    assert render.verdict(found).message == ("preflight: 1 of 3 clusters not ready: dev (KubeconfigInvalid)")


def test_a_cluster_that_is_down_is_named(world: World) -> None:
    """It stops no other, and nothing else is said of it."""
    world.sandbox.cluster("rct").stop()
    try:
        found = look()
    finally:
        world.sandbox.cluster("rct").start()
    problem = the_only_trouble(of("rct", found))
    assert (problem.check, problem.name) == (Check.REACHABLE, "Unreachable")
    assert marks(of("rct", found)) == "✓✗------✓"
    assert others_are_ready(found, "rct")
    assert render.verdict(found).message == "preflight: 1 of 3 clusters not ready: rct (Unreachable)"


def test_ops_that_is_down_hides_no_target(world: World) -> None:
    """The targets are looked at all the same."""
    world.edit_kubeconfig("clusters", "ops", server="https://127.0.0.1:1")
    found = look()
    assert marks(found.ops) == "✓✗------✓"
    assert others_are_ready(found, "OPS")
    assert render.verdict(found).message == "preflight: OPS not ready (Unreachable)"


def test_a_wrong_ca_is_named(world: World) -> None:
    """The server answers, but it is not the one whose certificate we trust."""
    stranger = base64.b64encode(pki.Authority("a stranger").pem).decode()
    world.edit_kubeconfig("clusters", "dev", **{"certificate-authority-data": stranger})
    problem = the_only_trouble(of("dev", look("dev")))
    assert (problem.check, problem.name) == (Check.TLS, "TLSFailed")
    assert "CA" in problem.remedy


def test_a_wrong_cluster_is_named_and_asked_nothing_more(world: World) -> None:
    """The pin and what was found are said; no Secret is asked for there."""
    world.edit_kubeconfig("contexts", "dev", cluster=context_name("prd"), user=context_name("prd"))
    start = world.log_position("prd")
    found = of("dev", look("dev"))
    problem = the_only_trouble(found)
    assert (problem.check, problem.name) == (Check.CLUSTER_ID, "WrongCluster")
    dev, prd = (world.admin(name).cluster_id() for name in ("dev", "prd"))
    assert problem.text == f"pinned {dev}, found {prd}"
    assert {r["objectRef"]["resource"] for r in world.requests("prd", start)} == {
        "selfsubjectreviews",
        "namespaces",
    }


def test_a_missing_pin_can_be_pasted(world: World) -> None:
    """It is no failure, and the remedy is the very line."""
    world.configure(clusterId=None)
    found = look()
    assert render.verdict(found).ok
    for name in TARGETS:
        problem = the_only_trouble(of(name, found))
        assert (problem.check, problem.status) == (Check.CLUSTER_ID, CheckStatus.WARNING)
        assert f"`clusterId: {world.admin(name).cluster_id()}`" in problem.remedy


def test_two_entries_for_one_cluster_are_named(world: World) -> None:
    """Without pins each names the other; and a context that leads to OPS is texts from both."""
    world.configure(clusterId=None)
    world.edit_kubeconfig("contexts", "dev", cluster=context_name("prd"), user=context_name("prd"))
    world.edit_kubeconfig("contexts", "rct", cluster=context_name("ops"), user=context_name("ops"))
    found = look()
    texts = {
        one.cluster: [t.text for t in one.problems if t.status is CheckStatus.ERROR] for one in found.clusters
    }
    assert texts == {
        "dev": ["it is the cluster of prd, too"],
        "rct": ["it is OPS itself"],
        "prd": ["it is the cluster of dev, too"],
    }


@pytest.mark.parametrize("verb", sorted(REQUIRED))
def test_each_missing_right_is_named(world: World, verb: str) -> None:
    """Verb, resource and namespace are said; without it no run could do its work."""
    rules = [{"apiGroups": [""], "resources": ["secrets"], "verbs": sorted(REQUIRED - {verb})}]
    world.admin().patch(ROLE, {"rules": rules})
    problem = the_only_trouble(eventually("dev", Check.RIGHTS, CheckStatus.ERROR))
    assert (problem.name, problem.text) == ("Forbidden", f"app-a: {verb} on secrets missing")


@pytest.mark.parametrize("verb", ["get", "list"])
def test_each_missing_right_on_ops_is_named(world: World, verb: str) -> None:
    """As on a target, with the file that gives it."""
    secrets = {"apiGroups": [""], "resources": ["secrets"], "verbs": sorted({"get", "list"} - {verb})}
    certificates = {"apiGroups": ["cert-manager.io"], "resources": ["certificates"], "verbs": ["list"]}
    role = f"{RBAC}/namespaces/certificates-ops/roles/tls-sync"
    world.ops.patch(role, {"rules": [secrets, certificates]})
    problem = the_only_trouble(eventually("OPS", Check.RIGHTS, CheckStatus.ERROR))
    assert problem.text == f"certificates-ops: {verb} on secrets missing"
    assert "tls-sync rights manifests --ops" in problem.remedy


def test_certificates_that_may_not_be_read_are_named(world: World) -> None:
    """Runs work without them, so OPS is ready."""
    rules = [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list"]}]
    world.ops.patch(f"{RBAC}/namespaces/certificates-ops/roles/tls-sync", {"rules": rules})
    found = eventually("OPS", Check.RIGHTS, CheckStatus.WARNING)
    assert found.ready
    assert "cert-manager's Certificates can't be read (Forbidden)" in the_only_trouble(found).text


@pytest.mark.parametrize("protected", [False, True])
def test_a_right_too_many_is_named(world: World, protected: bool) -> None:
    """A warning, or on a protected cluster a failure."""
    world.configure(protected=protected)
    rules = [{"apiGroups": [""], "resources": ["secrets"], "verbs": [*sorted(REQUIRED), "delete"]}]
    world.admin().patch(ROLE, {"rules": rules})
    found = eventually("dev", Check.RIGHTS, CheckStatus.ERROR if protected else CheckStatus.WARNING)
    assert the_only_trouble(found).text == "app-a: delete on secrets not needed"
    assert found.ready != protected


def test_a_certificate_that_ops_does_not_have_is_named(world: World) -> None:
    """OPS is not ready, as a run would be Failed; once cert-manager is about to issue it, OPS is ready."""
    world.configure([{"certificates": ["web-*", "wep-tls"], "namespaces": ["app-a"]}])
    found = look()
    problem = the_only_trouble(found.ops)
    assert (problem.check, problem.name) == (Check.NAMESPACES, "MissingOnSource")
    assert problem.text.startswith("wep-tls (to dev, rct, prd): a route names it")
    assert problem.remedy.startswith("OPS has web-tls: correct the name in the route")
    assert others_are_ready(found, "OPS")
    assert render.verdict(found).message == "preflight: OPS not ready (MissingOnSource)"
    (secret,) = world.issue("wep-tls")
    ordered = certificate_resource.certificate(secret, ready=False, reason="Issuing")
    certificate_resource.put(world.ops, ordered)
    world.ops.delete(manifests.object_path(secret))
    assert look().ops.ready


def test_a_missing_namespace_is_named(world: World) -> None:
    """With the shipped rights it can't be told from a missing Role, and just that is said."""
    world.configure([{"certificates": ["web-*"], "namespaces": ["app-a", "nowhere"]}])
    found = of("dev", look("dev"))
    assert found.status(Check.RIGHTS) is CheckStatus.ERROR
    assert found.status(Check.NAMESPACES) is CheckStatus.UNKNOWN
    assert "nowhere: no right on secrets: the namespace is missing, or its Role" in found.problems[0].text
    assert "`kubectl --context cluster-dev create namespace nowhere`" in found.problems[0].remedy
    assert found.status(Check.POLICY) is CheckStatus.OK


@pytest.fixture
def wide(world: World) -> Iterator[None]:
    """The needed rights in all namespaces of dev."""
    admin, kind = world.admin(), {"apiVersion": "rbac.authorization.k8s.io/v1"}
    rule = {"apiGroups": [""], "resources": ["secrets"], "verbs": sorted(REQUIRED)}
    admin.ensure(kind | {"kind": "ClusterRole", "metadata": {"name": "wide"}, "rules": [rule]})
    subject = {"kind": "ServiceAccount", "name": "tls-sync", "namespace": "tls-sync"}
    binding = {"kind": "ClusterRoleBinding", "metadata": {"name": "wide"}, "subjects": [subject]}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "wide"}
    admin.ensure(kind | binding | {"roleRef": reference})
    yield
    admin.delete(f"{RBAC}/clusterrolebindings/wide")


@pytest.mark.usefixtures("wide")
@pytest.mark.parametrize("ending", [False, True])
def test_a_namespace_that_takes_nothing_is_named(world: World, ending: bool) -> None:
    """With rights beyond the namespace a dry run tells a missing one and one that is being deleted."""
    name = "leaving" if ending else "nowhere"
    if ending:
        world.admin().namespace(name)
        world.admin().delete(f"/api/v1/namespaces/{name}")  # no controller ends it here
    world.configure([{"certificates": ["web-*"], "namespaces": ["app-a", name]}])
    found = eventually("dev", Check.NAMESPACES, CheckStatus.ERROR)
    (problem,) = [one for one in found.problems if one.status is CheckStatus.ERROR]
    assert problem.name == ("NamespaceTerminating" if ending else "NamespaceMissing")
    assert problem.text.startswith(f"{name}: it would not accept a Secret of ours")


@pytest.mark.parametrize(
    ("bar", "code"),
    [(over_quota, "Forbidden"), (webhook_that_is_down, "ServerError")],
    ids=["quota", "webhook"],
)
def test_what_bars_every_write_is_named(
    world: World, bar: Callable[[World], AbstractContextManager[None]], code: str
) -> None:
    """The rights are there, the cluster answers, and yet no Secret would get in."""
    with bar(world):
        found = eventually("dev", Check.NAMESPACES, CheckStatus.ERROR)
    (problem,) = [one for one in found.problems if one.status is CheckStatus.ERROR]
    assert problem.name == code
    assert problem.text.startswith("app-a: it would not accept a Secret of ours")
    assert "quota, the webhooks and the policies" in problem.remedy


@pytest.mark.parametrize("protected", [False, True])
def test_a_missing_policy_is_named(world: World, protected: bool) -> None:
    """It shows although the account may read no policy; on a protected cluster it is a failure."""
    world.configure(protected=protected)
    world.admin().delete(POLICY)
    found = eventually("dev", Check.POLICY, CheckStatus.ERROR if protected else CheckStatus.WARNING)
    problem = the_only_trouble(found)
    assert problem.name == "PolicyMissing"
    assert problem.text.endswith(f"no policy binds {ACCOUNT}")
    assert found.ready != protected


def test_a_policy_for_somebody_else_is_none(world: World) -> None:
    """Another account with the same rights is not bound by the shipped policy, and its name is told."""
    admin, account = world.admin(), {"name": "other", "namespace": "tls-sync"}
    admin.ensure({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account})
    kind = {"apiVersion": "rbac.authorization.k8s.io/v1"}
    for role, path in (("Role", "app-a"), ("ClusterRole", None)):
        name = "tls-sync" if path else "tls-sync-identity"
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": role, "name": name}
        metadata = {"name": "other"} | ({"namespace": path} if path else {})
        subject = {"kind": "ServiceAccount", **account}
        binding = {"kind": f"{role}Binding", "metadata": metadata, "subjects": [subject]}
        admin.ensure(kind | binding | {"roleRef": reference})
    world.edit_kubeconfig("users", "dev", token=admin.token("tls-sync", "other", 7 * 24 * 60 * 60))
    problem = the_only_trouble(eventually("dev", Check.POLICY, CheckStatus.WARNING))
    assert problem.text.endswith("no policy binds system:serviceaccount:tls-sync:other")


def test_a_credential_that_expires_soon_is_named(world: World) -> None:
    """From 72 hours before, of OPS and of a target; it is no failure."""
    for cluster in ("ops", "dev"):
        token = world.admin(cluster).token("tls-sync", "tls-sync", 3 * 60 * 60)
        world.edit_kubeconfig("users", cluster, token=token)
    found = look()
    for name in ("OPS", "dev"):
        problem = the_only_trouble(of(name, found))
        assert (problem.check, problem.status) == (Check.CREDENTIAL, CheckStatus.WARNING)
        assert "expires in 2 hours" in problem.text
    assert render.verdict(found).message == "preflight: OPS and 3 clusters ready; have a look at OPS, dev"


def test_a_credential_that_nobody_knows_is_named(world: World) -> None:
    """The server answers 401 to it."""
    world.edit_kubeconfig("users", "dev", token="nobodys-token")
    found = of("dev", look("dev"))
    assert (the_only_trouble(found).check, the_only_trouble(found).name) == (Check.IDENTITY, "Unauthorized")
    assert marks(found) == "✓✓✓✗----✓"


def test_to_be_nobody_in_particular_is_named(world: World) -> None:
    """A server that takes us for anonymous is asked nothing more."""

    def forget(request: Request, forward: Forward) -> Answer:
        answer = forward()
        content = json.loads(answer.body)
        content["status"]["userInfo"]["username"] = "system:anonymous"
        return Answer(answer.status, json.dumps(content).encode(), answer.headers)

    with world.proxy() as proxy:
        proxy.fault = forget
        found = of("dev", look("dev"))
        assert len(proxy.requests) == 1
    assert the_only_trouble(found).check is Check.IDENTITY


def test_a_server_that_ignores_dry_runs_is_sent_none(world: World) -> None:
    """Where the query gets lost on the way, no Secret is sent at all, and the policy can't be texts."""

    def lose_the_query(request: Request, forward: Forward) -> Answer:
        if request.method != "PATCH":
            return forward()
        path = request.path.replace("dryRun=", "lost=")
        return proxy.forward(request._replace(path=path))

    before = world.versions()
    with world.proxy() as proxy:
        proxy.fault = lose_the_query
        found = of("dev", look("dev"))
        sent = [request.body for request in proxy.requests if request.method == "PATCH"]
    assert sent == [b"{}"]
    assert (found.status(Check.POLICY), found.status(Check.NAMESPACES)) == (
        CheckStatus.UNKNOWN,
        CheckStatus.NOT_CHECKED,
    )
    assert found.ready
    assert world.versions() == before


@pytest.mark.parametrize("allowed", [True, False])
def test_an_authorizer_that_lists_no_rules_is_asked_verb_by_verb(world: World, allowed: bool) -> None:
    """A cloud's authorizer can't list its rules, but it can say yes or no."""

    def withhold(request: Request, forward: Forward) -> Answer:
        answer = forward()
        content = json.loads(answer.body)
        if "selfsubjectrulesreviews" in request.path:
            content["status"] |= {"resourceRules": [], "incomplete": True}
        if "selfsubjectaccessreviews" in request.path:
            assert content["status"]["allowed"] is True
            content["status"]["allowed"] = allowed
        return Answer(answer.status, json.dumps(content).encode(), answer.headers)

    with world.proxy() as proxy:
        proxy.fault = withhold
        found = of("dev", look("dev"))
    assert found.status(Check.RIGHTS) is (CheckStatus.OK if allowed else CheckStatus.ERROR)
    assert found.ready == allowed


def test_no_text_of_a_server_and_no_token_is_told(world: World) -> None:
    """Whatever a server says stays out of the table, the artifact and the verdict."""
    phrase = "a-servers-own-words"

    def chatter(request: Request, forward: Forward) -> Answer:
        if request.method == "PATCH":
            return Answer(
                403, json.dumps({"message": phrase, "reason": phrase, "details": {"name": phrase}}).encode()
            )
        return forward()

    with world.proxy() as proxy:
        proxy.fault = chatter
        found = look()
    assert not of("dev", found).ready
    text = render.render(found) + render.render_markdown(found) + render.verdict(found).message
    assert phrase not in text
    users = yaml.safe_load(world.kubeconfig.read_text())["users"]
    tokens = {user["name"]: user["user"]["token"].encode() for user in users}
    assert found_in(text.encode(), tokens) == set()


def test_a_suspended_cluster_can_be_asked_for(world: World) -> None:
    """Left out unless it is named: before it comes back, one wants to know."""
    world.configure(clusters=["dev"], suspended=True)
    assert look().suspended == ("dev",)
    assert look().clusters == ()
    assert of("dev", look("dev")).ready


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flows", "--preflight", *arguments],
        cwd=ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_prints_the_table_and_says_by_its_status(world: World) -> None:
    """Exit status 0 where all is ready, 1 where it isn't or a name is unknown; no Prefect is needed."""
    done = command("--cluster", "dev")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0] == "preflight: OPS and 1 cluster ready"
    world.edit_kubeconfig("clusters", "rct", server="https://127.0.0.1:1")
    done = command()
    assert done.returncode == 1
    assert done.stdout.splitlines()[0] == "preflight: 1 of 3 clusters not ready: rct (Unreachable)"
    done = command("--cluster", "nowhere")
    assert (done.returncode, done.stdout) == (1, "")
    assert "no such cluster; known are: dev, rct, prd" in done.stderr


# A shell lets what it starts in the background ignore Ctrl-C, and these tests may be such a job.
HEEDING_CTRL_C = """
import runpy, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.argv = ["flows", "--preflight"]
runpy.run_module("flows", run_name="__main__")
"""


def test_ctrl_c_ends_it(world: World) -> None:
    """Also while a cluster keeps it waiting: no further request, and no traceback."""
    asked, ended = threading.Event(), threading.Event()

    def keep_waiting(_: Request, forward: Forward) -> Answer:
        asked.set()
        ended.wait(SECONDS)
        return forward()

    with world.proxy() as proxy:
        proxy.fault = keep_waiting
        process = subprocess.Popen(
            [sys.executable, "-c", HEEDING_CTRL_C],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert asked.wait(SECONDS)
            process.send_signal(signal.SIGINT)
            output, errors = process.communicate(timeout=SECONDS)
        finally:
            process.kill()
            ended.set()
        assert (process.returncode, output, errors) == (130, "", "tls-sync: interrupted\n")
        assert len(proxy.requests) == 1


@pytest.mark.usefixtures("prefect_server")
def test_the_flow_ends_with_the_verdict(world: World) -> None:
    """Completed or Failed by name and message, with the artifact; a run for one cluster is called so."""
    from flows.preflight import preflight as flow  # noqa: PLC0415  Prefect, once its server runs
    from tests.apiserver.test_flow import artifacts, flow_run  # noqa: PLC0415

    state: Any = flow(return_state=True)
    assert (state.is_completed(), state.message) == (True, "preflight: OPS and 3 clusters ready")
    assert flow_run(state).name == "preflight all"
    assert artifacts(state)["tls-sync-preflight"].startswith("## ✅ preflight: OPS and 3 clusters ready")
    world.edit_kubeconfig("clusters", "rct", server="https://127.0.0.1:1")
    state = flow(cluster="rct", return_state=True)
    assert (state.is_failed(), state.name) == (True, "ClustersNotReady")
    assert state.message == "preflight: 1 of 1 cluster not ready: rct (Unreachable)"
    assert flow_run(state).name == "preflight rct"
