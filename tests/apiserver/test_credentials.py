"""A Secret with the credential of each cluster, on real servers: made, read by name, rotated, and broken."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import pytest
import yaml

from deployments.sandbox.clusters.admin import AdminError
from deployments.sandbox.world.kubeconfig import context_name
from tasks.config.load import load_config
from tasks.domain.failure_codes import FailureCode
from tasks.kube.pool import reuse_clients
from tasks.preflight.model import CheckStatus
from tasks.preflight.probe import preflight
from tasks.runtime import shutdown
from tasks.watch.reconciler import Reconciler
from tasks.watch.source_watch import RESYNC
from tests.support.cli_user import Done, Operator
from tests.support.clusters import TARGETS, Manifest, World
from tests.support.waiting import until

pytestmark = [pytest.mark.apiserver, pytest.mark.timeout(900)]

NAMESPACE = "tls-sync-credentials"
SECRETS = f"/api/v1/namespaces/{NAMESPACE}/secrets"
ROLE = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}/roles/tls-sync-credentials"
CONTEXTS = tuple(f"--context={name}={context_name(name)}" for name in TARGETS)


def secret_of(cluster: str) -> str:
    return f"tls-sync-kubeconfig-{cluster}"


def without_contexts(document: dict[str, Any]) -> None:
    document["credentials"] = {"namespace": NAMESPACE}
    for cluster in document["clusters"]:
        del cluster["context"]


def collect(operator: Operator, *arguments: str) -> Done:
    return operator.collect(*CONTEXTS, *arguments)


@pytest.fixture
def own(world: World, operator: Operator) -> Iterator[World]:
    """OPS with the rights that the command prints; the kubeconfig of runs has a context for OPS alone."""
    world.edit_config(without_contexts)
    shown = operator.target("manifests", "--ops")
    assert operator.apply("ops", shown.output, "--force-conflicts").status == 0
    known = yaml.safe_load(world.kubeconfig.read_text())
    only = [one for one in known["contexts"] if one["name"] == context_name("ops")]
    world.kubeconfig.write_text(yaml.safe_dump(known | {"contexts": only}))
    until("the right", lambda: can_get(world))
    shutdown.begin_run()
    yield world
    world.ops.delete(SECRETS)


@pytest.fixture
def collected(own: World, operator: Operator) -> World:
    done = collect(operator)
    assert done.status == 0, done
    return own


def can_get(world: World) -> bool:
    try:
        return world.account("ops").get(f"{SECRETS}/none") is None
    except AdminError as error:
        return error.status == 404


def kubeconfig(world: World, cluster: str) -> Manifest:
    found = world.ops.secret(NAMESPACE, secret_of(cluster))
    assert found
    document: Manifest = yaml.safe_load(base64.b64decode(found["data"]["config"]))
    return document


def put(world: World, cluster: str, content: bytes | None, key: str = "config") -> None:
    """Replace the Secret of a cluster, or delete it."""
    path = f"{SECRETS}/{secret_of(cluster)}"
    world.ops.delete(path)
    if content is not None:
        manifest = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": secret_of(cluster), "namespace": NAMESPACE},
            "data": {key: base64.b64encode(content).decode()},
        }
        world.ops.create(manifest)


def test_each_cluster_is_served_by_its_own_secret(collected: World) -> None:
    """The Secrets are read by name, and nothing may be listed in their namespace."""
    (secret,) = collected.issue("web-tls")
    since = collected.log_position("ops")
    reports = collected.run()
    assert all(one.ok for one in reports.values()), reports
    assert collected.is_everywhere(secret)
    asked = [one for one in collected.requests("ops", since) if NAMESPACE in one["requestURI"]]
    assert {(one["verb"], one["objectRef"]["name"]) for one in asked} == {
        ("get", secret_of(name)) for name in TARGETS
    }
    assert all(one.credential_ends for one in reports.values())  # each report knows its own
    with pytest.raises(AdminError) as refused:
        collected.account("ops").get(SECRETS)
    assert refused.value.status == 403


def test_the_command_writes_one_secret_each(own: World, operator: Operator) -> None:
    """With --cluster that one alone; again, it renews; a cluster that can't be reached keeps its Secret."""
    done = collect(operator, "--cluster", "dev")
    assert done.status == 0, done
    assert done.output.endswith(f"written: 1 Secret in namespace {NAMESPACE} on OPS (context cluster-ops)\n")
    assert [one["metadata"]["name"] for one in own.ops.secrets(NAMESPACE)] == [secret_of("dev")]
    first = kubeconfig(own, "dev")
    assert [one["name"] for one in first["contexts"]] == ["dev"]
    with own.down("rct"):
        done = collect(operator)
    assert done.status == 1
    assert {secret_of("dev"), secret_of("prd")} == {
        one["metadata"]["name"] for one in own.ops.secrets(NAMESPACE)
    }
    assert kubeconfig(own, "dev")["users"] != first["users"]
    token = first["users"][0]["user"]["token"]
    assert token not in done.output + done.errors + operator.calls.read_text()


def test_a_file_is_refused_for_clusters_with_a_secret(own: World, operator: Operator, tmp_path: Path) -> None:
    """They would not be found there."""
    file = tmp_path / "own.kubeconfig"
    done = operator.target("kubeconfig", "--file", str(file), *CONTEXTS)
    assert done.status == 1
    assert done.errors.startswith("tls-sync: --file: dev, rct, prd have no `context`, but a Secret each")
    assert not file.exists()
    assert not own.ops.secrets(NAMESPACE)


def test_one_after_the_other_can_move(own: World, operator: Operator) -> None:
    """A cluster with a context is served by the one kubeconfig, as before; the others by their Secrets."""
    known = yaml.safe_load(own.kubeconfig.read_text())
    name = context_name("dev")
    dev = {"name": name, "context": {"cluster": name, "user": name}}
    own.kubeconfig.write_text(yaml.safe_dump(known | {"contexts": [*known["contexts"], dev]}))
    own.edit_config(lambda document: document["clusters"][0].update(context=name))
    (secret,) = own.issue("web-tls")
    assert collect(operator, "--cluster", "rct").status == 0
    assert collect(operator, "--cluster", "prd").status == 0
    assert all(one.ok for one in own.run().values())
    assert own.is_everywhere(secret)
    assert own.ops.secret(NAMESPACE, secret_of("dev")) is None


BROKEN: dict[str, tuple[bytes | None, str, str]] = {
    "missing": (None, "config", "OPS has no such Secret"),
    "without the key": (b"x", "value", "it has no key config"),
    "not YAML": (b"a: [", "config", "not valid YAML"),
    "another document": (b"[]", "config", "it has 0 contexts and no current-context"),
    "of several contexts": (
        b"contexts: [{name: a}, {name: b}]",
        "config",
        "it has 2 contexts and no current-context",
    ),
    "with a current-context that is no name": (
        b"current-context: {token: s3cr3t}\ncontexts: [{name: a}]",
        "config",
        "no current-context",
    ),
}


@pytest.mark.parametrize(("content", "key", "said"), BROKEN.values(), ids=BROKEN)
def test_a_broken_secret_costs_its_cluster(
    collected: World, content: bytes | None, key: str, said: str
) -> None:
    """The failure names the Secret, and the command that makes it; the others are served."""
    collected.issue("web-tls")
    put(collected, "rct", content, key)
    reports = collected.run()
    assert {name: one.ok for name, one in reports.items()} == {"dev": True, "rct": False, "prd": True}
    (failure,) = reports["rct"].failures
    assert (failure.code, failure.cluster) == (FailureCode.KUBECONFIG, "rct")
    assert f"secret {NAMESPACE}/{secret_of('rct')}" in failure.what
    assert said in failure.detail
    assert "tls-sync rights kubeconfig --cluster NAME" in failure.code.remedy
    assert "s3cr3t" not in str(failure)


@pytest.mark.parametrize("user", [{"tokenFile": "/etc/hostname"}, {"exec": {"command": "/bin/true"}}])
def test_a_secret_names_no_file_and_no_program_of_the_pod(collected: World, user: dict[str, Any]) -> None:
    """Who may write it could else send the run's own token to an address of theirs, or run code."""
    collected.edit_config(lambda document: document["clusters"][1].update(allowExec=True))
    changed = kubeconfig(collected, "rct")
    changed["users"][0]["user"] = user
    put(collected, "rct", yaml.safe_dump(changed).encode())
    since = collected.log_position("rct")
    (failure,) = collected.sync("rct", collected.listed()).failures
    assert failure.code is FailureCode.KUBECONFIG
    assert failure.detail == f"`{min(user)}` is not taken from a Secret; give a token or a client certificate"
    assert collected.log_position("rct") == since or not collected.requests("rct", since)


def test_without_the_right_each_cluster_says_so(collected: World) -> None:
    """The Role on OPS is missing: no cluster is served, and the preflight names right and remedy."""
    role = collected.ops.get(ROLE)
    collected.ops.patch(ROLE, {"rules": []})
    try:
        until("the lack of the right", lambda: not can_get(collected))
        reports = collected.run()
        found = preflight(load_config()).ops.findings
    finally:
        collected.ops.patch(ROLE, {"rules": role["rules"]})
    assert {one.failures[0].code for one in reports.values()} == {FailureCode.FORBIDDEN}
    assert f"{NAMESPACE}: get on secrets missing" in [one.text for one in found]


def test_a_right_too_many_is_warned_of(collected: World) -> None:
    """Who may list the Secrets of that namespace has all credentials at once."""
    role = collected.ops.get(ROLE)
    rules = [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list"]}]
    told = f"{NAMESPACE}: list on secrets not needed"
    collected.ops.patch(ROLE, {"rules": rules})
    try:
        until("the warning", lambda: told in warnings())
    finally:
        collected.ops.patch(ROLE, {"rules": role["rules"]})
    until("no warning", lambda: told not in warnings())
    assert all(one.ready for one in preflight(load_config()).clusters)


def warnings() -> list[str]:
    return [one.text for one in preflight(load_config()).ops.findings if one.status is CheckStatus.WARNING]


@contextmanager
def watching(world: World) -> Iterator[Reconciler]:
    """What the watcher does, after its start."""
    reconciler = Reconciler()
    with reuse_clients():
        report = reconciler.reconcile(RESYNC)
        assert report
        assert all(one.ok for one in report.clusters), report
        yield reconciler
    reconciler.close()


def test_a_secret_that_leads_to_another_cluster_gets_no_key(collected: World) -> None:
    """The watcher has verified dev a moment ago; a new credential is verified again before a create."""
    collected.issue("web-a-tls")
    with watching(collected) as watcher:
        put(collected, "dev", yaml.safe_dump(kubeconfig(collected, "prd")).encode())
        forget_idle_clients()
        collected.issue("web-b-tls")
        report = watcher.reconcile("web-b-tls")
        assert report
        dev = next(one for one in report.clusters if one.cluster == "dev")
        assert [one.code for one in dev.failures] == [FailureCode.WRONG_CLUSTER]
    assert collected.copy("web-b-tls", "prd") is not None  # as prd's own
    assert collected.copy("web-b-tls", "dev") is None


def forget_idle_clients() -> None:
    """As after IDLE_SECONDS."""
    from tasks.kube import pool  # noqa: PLC0415  its private list

    with pool._lock:
        pool._idle[:] = [one for one in pool._idle if one.key[0] != "dev"]


def test_a_renewed_token_is_used_by_the_next_run(collected: World, operator: Operator) -> None:
    """Each Secret rotates on its own, and nothing has to be restarted."""
    (secret,) = collected.issue("web-tls")
    broken = kubeconfig(collected, "dev")
    broken["users"][0]["user"]["token"] = "expired"
    put(collected, "dev", yaml.safe_dump(broken).encode())
    assert collected.run()["dev"].failures[0].code is FailureCode.UNAUTHORIZED
    assert collect(operator, "--cluster", "dev", "--replace").status == 0
    assert all(one.ok for one in collected.run().values())
    assert collected.is_everywhere(secret)


def test_cluster_api_makes_the_first_token(own: World, operator: Operator) -> None:
    """What Cluster API keeps for administrators is used once; what is written has few rights."""
    admin = yaml.safe_load(operator.kubeconfig.read_text())
    (context,) = [one for one in admin["contexts"] if one["name"] == context_name("dev")]
    value = yaml.safe_dump(admin | {"contexts": [context], "current-context": context["name"]})
    manifest = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "cluster.x-k8s.io/secret",
        "metadata": {"name": "dev-eu-kubeconfig", "namespace": NAMESPACE},
        "data": {"value": base64.b64encode(value.encode()).decode()},
    }
    own.ops.create(manifest)
    others = admin | {"contexts": [one for one in admin["contexts"] if one["name"] == context_name("ops")]}
    operator.kubeconfig.write_text(yaml.safe_dump(others))  # theirs has no context of dev
    given = ("--cluster", "dev", "--from-capi", f"dev={NAMESPACE}/dev-eu")
    done = operator.collect(*given)
    assert done.status == 0, done
    ours, theirs = kubeconfig(own, "dev"), own.sandbox.cluster("dev").admin_token
    assert theirs not in yaml.safe_dump(ours) + done.output + done.errors + operator.calls.read_text()
    assert own.sync("dev", own.snapshot()).failures == ()
    assert not list(Path(gettempdir()).glob("tls-sync-capi-*"))
    for place, said in {"dev-eu": "NAMESPACE/NAME of the Cluster", f"{NAMESPACE}/none": "NotFound"}.items():
        done = operator.collect("--cluster", "dev", "--from-capi", f"dev={place}")
        assert done.status == 1
        assert said in done.errors
