"""Rights and credentials for target clusters, by the commands and the real kubectl."""

import base64
import time
from pathlib import Path

import pytest
import yaml

from deployments.sandbox.world.kubeconfig import context_name, write_admin_kubeconfig
from tasks.config.load import load_config
from tasks.kubeconfig.expiry import token_expiry
from tasks.preflight import render
from tasks.preflight.probe import preflight
from tasks.setup.document import Entry, document_of, entries_of
from tests.support.cli_user import Operator
from tests.support.clusters import Manifest, World
from tests.support.secret_scan import found_in

pytestmark = pytest.mark.apiserver

SECRET = "/api/v1/namespaces/tls-sync/secrets/tls-sync-kubeconfig"
SECONDS = 90


def tokens(entries: dict[str, Entry]) -> dict[str, str]:
    return {context: entry.user["token"] for context, entry in entries.items()}


def verbs_of_admin(world: World, cluster: str, since: int) -> set[str]:
    log = world.sandbox.cluster(cluster).audit()[since:]
    return {entry["verb"] for entry in log if entry["user"]["username"] == "sandbox-admin"}


def test_a_bare_cluster_is_served_after_both_commands(world: World, operator: Operator) -> None:
    """Manifests and credential as printed and collected: the preflight is green and a delivery works."""
    world.issue("web-tls")
    bare = world.sandbox.add("bare").admin
    for namespace in ("app-a", "app-b"):
        bare.namespace(namespace)
    world.configure([{"certificates": ["web-*"], "namespaces": ["app-a", "app-b"]}], ["bare"])
    write_admin_kubeconfig(world.sandbox, operator.kubeconfig)
    manifests = operator.target("manifests", "--cluster", "bare")
    assert (manifests.status, manifests.errors) == (0, "")
    assert operator.apply("bare", manifests.output).status == 0
    assert operator.apply("bare", manifests.output).status == 0  # and once more, as Argo CD would
    done = operator.collect()
    assert (done.status, done.errors) == (0, "")
    world.kubeconfig.write_bytes(base64.b64decode(operator.secret()["data"]["config"]))
    deadline = time.monotonic() + SECONDS  # an API server takes some seconds to heed a new policy
    while (found := preflight(load_config())).clusters[0].problems:
        assert time.monotonic() < deadline, render.render(found)
        time.sleep(0.2)
    report = world.sync("bare")
    assert report.ok, report.failures
    assert [change.applied for change in report.changes] == [True, True]
    for namespace in ("app-a", "app-b"):
        assert bare.secret(namespace, "web-tls") is not None


def test_what_another_manager_has_applied_is_no_conflict(operator: Operator) -> None:
    """The manifests hold the API server's defaults: the same by another hand, Argo CD's say, is the same."""
    manifests = operator.target("manifests", "--cluster", "dev").output
    done = operator.apply("dev", manifests)  # where the sandbox has applied it before
    assert (done.status, done.errors) == (0, "")
    again = operator.apply("dev", manifests, "--field-manager=argocd-controller")
    assert (again.status, again.errors) == (0, "")


def test_the_secret_is_as_a_pod_mounts_it(operator: Operator) -> None:
    """Key `config`, one context per cluster and for OPS, and nowhere else a copy of it."""
    done = operator.collect()
    assert (done.status, done.errors) == (0, "")
    secret = operator.secret()
    assert (secret["type"], set(secret["data"])) == ("Opaque", {"config"})
    assert set(operator.entries()) == {context_name(name) for name in ("ops", "dev", "rct", "prd")}
    assert "annotations" not in secret["metadata"]
    assert done.output.splitlines()[-1] == (
        "written on OPS (context cluster-ops): Secret tls-sync/tls-sync-kubeconfig (key config)"
    )


def test_the_same_command_renews(world: World, operator: Operator) -> None:
    """Each run brings fresh tokens, whose end is told; one for a cluster alone leaves the others."""
    assert operator.collect("--duration", "100h").status == 0
    first = tokens(operator.entries())
    assert operator.collect("--duration", "200h").status == 0
    second = tokens(operator.entries())
    assert all(first[context] != second[context] for context in first)
    done = operator.collect("--cluster", "dev")
    third = tokens(operator.entries())
    assert {context for context in third if third[context] != second[context]} == {context_name("dev")}
    ends = token_expiry(third[context_name("dev")])
    assert f"token until {ends:%Y-%m-%d %H:%M} UTC" in done.output
    assert done.output.count("unchanged") == 3


def test_a_short_token_is_warned_of(operator: Operator) -> None:
    """Reports warn from 72 hours before the end: a token that has no more would be warned of always."""
    done = operator.collect("--duration", "1h")
    assert done.status == 0
    assert done.output.count("reports will warn") == 4


def test_what_can_not_be_renewed_keeps_what_it_had(world: World, operator: Operator) -> None:
    """One cluster that is down does not let the others' tokens end; the status says that it failed."""
    operator.collect()
    before = tokens(operator.entries())
    operator.edit("rct", server="https://127.0.0.1:1")
    done = operator.collect()
    after = tokens(operator.entries())
    assert done.status == 1
    assert {context for context in after if after[context] == before[context]} == {context_name("rct")}
    (line,) = [line for line in done.output.splitlines() if line.startswith("✗")]
    assert line.startswith("✗ rct")
    assert line.endswith("; keeps its former credential")


def test_ops_alone_can_be_renewed(operator: Operator) -> None:
    """By the name that reports give it; the targets keep what they had."""
    operator.collect()
    before = tokens(operator.entries())
    assert operator.collect("--cluster", "OPS").status == 0
    after = tokens(operator.entries())
    assert {context for context in after if after[context] != before[context]} == {context_name("ops")}


def test_what_could_never_be_had_is_left_out(operator: Operator, tmp_path: Path) -> None:
    """A first run with a cluster down serves the others; if none can be had, nothing is put anywhere."""
    path = tmp_path / "tls-sync.kubeconfig"
    operator.edit("rct", server="https://127.0.0.1:1")
    done = operator.target("kubeconfig", "--output", str(path))
    assert done.status == 1
    held = entries_of(yaml.safe_load(path.read_text()))
    assert set(held) == {context_name(name) for name in ("ops", "dev", "prd")}
    path.unlink()
    done = operator.target("kubeconfig", "--output", str(path), "--cluster", "rct")
    assert done.status == 1
    assert f"no credential could be renewed, so file {path} was not created" in done.errors
    assert not path.exists()
    path.write_text("{}")
    done = operator.target("kubeconfig", "--output", str(path), "--cluster", "rct")
    assert f"no credential could be renewed, so file {path} is unchanged" in done.errors


def test_what_runs_would_refuse_is_not_put(operator: Operator) -> None:
    """The strict reader looks first: a cluster without verified TLS is left out, with the reason."""
    for cluster in ("dev", "rct", "prd"):
        operator.edit(cluster, **{"certificate-authority-data": None, "insecure-skip-tls-verify": True})
    done = operator.collect("--cluster", "dev")
    assert done.status == 1
    assert "TLS is always verified" in done.output
    assert "no credential could be renewed" in done.errors
    assert operator.world.ops.secret("tls-sync", "tls-sync-kubeconfig") is None


def test_other_kinds_of_credentials_are_left_alone(world: World, operator: Operator) -> None:
    """An exec plugin, a token file or a client certificate is nothing that this command could renew."""
    operator.collect()
    held = operator.entries()
    plugin = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "aws"}}
    held[context_name("dev")] = Entry(held[context_name("dev")].cluster, plugin)
    content = base64.b64encode(yaml.safe_dump(document_of(held)).encode()).decode()
    world.ops.patch(SECRET, {"data": {"config": content}})
    done = operator.collect("--replace")
    assert done.status == 0
    assert operator.entries()[context_name("dev")].user == plugin
    assert "dev  unchanged" in done.output


@pytest.mark.parametrize("replace", [False, True])
def test_a_secret_that_something_else_made_is_replaced_only_on_demand(
    world: World, operator: Operator, replace: bool
) -> None:
    """A CronJob's kubeconfig may lie there, with contexts that the configuration does not name."""
    metadata = {"name": "tls-sync-kubeconfig", "namespace": "tls-sync"}
    theirs = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": {"config": "e30="}}
    world.ops.create(theirs)
    done = operator.collect(*(["--replace"] if replace else []))
    assert done.status == (0 if replace else 1)
    assert (operator.secret()["data"]["config"] == "e30=") != replace
    assert ("set --replace" in done.errors) != replace


def test_a_dry_run_makes_no_token_and_writes_nothing(world: World, operator: Operator) -> None:
    """It says what would be."""
    positions = {name: world.log_position(name) for name in world.sandbox.names}
    done = operator.collect("--dry-run")
    assert (done.status, done.errors) == (0, "")
    assert done.output.count("would get a token") == 4
    for name, position in positions.items():
        verbs = verbs_of_admin(world, name, position)
        assert verbs <= {"get", "list"}, name
    assert world.ops.secret("tls-sync", "tls-sync-kubeconfig") is None


def test_a_file_will_do_in_place_of_the_secret(operator: Operator, tmp_path: Path) -> None:
    """For runs from one's own machine; readable by its owner alone."""
    path = tmp_path / "tls-sync.kubeconfig"
    done = operator.target("kubeconfig", "--output", str(path))
    assert (done.status, done.errors) == (0, "")
    assert path.stat().st_mode & 0o777 == 0o600
    assert set(entries_of(yaml.safe_load(path.read_text()))) == {
        context_name(name) for name in ("ops", "dev", "rct", "prd")
    }


def test_contexts_of_other_names_can_be_mapped(operator: Operator) -> None:
    """An unknown context is told with those that there are, and with the option that maps it."""
    text = operator.kubeconfig.read_text().replace("name: cluster-dev", "name: my-dev")
    operator.kubeconfig.write_text(text.replace("cluster: cluster-dev", "cluster: my-dev"))
    done = operator.collect()
    (line,) = [line for line in done.output.splitlines() if line.startswith("✗")]
    assert "no context cluster-dev in your kubeconfig, which has: " in line
    assert "set --context dev=<yours>" in line
    document = yaml.safe_load(operator.kubeconfig.read_text())
    for context in document["contexts"]:
        if context["name"] == "my-dev":
            context["context"]["user"] = "cluster-dev" if _has_user(document, "cluster-dev") else "my-dev"
    operator.kubeconfig.write_text(yaml.safe_dump(document))
    assert operator.collect("--context", "dev=my-dev").status == 0
    assert context_name("dev") in operator.entries()


def _has_user(document: Manifest, name: str) -> bool:
    return any(user["name"] == name for user in document["users"])


def test_a_missing_account_is_named(world: World, operator: Operator) -> None:
    """What kubectl said is told in one word of Kubernetes' own."""
    account = "/api/v1/namespaces/tls-sync/serviceaccounts/tls-sync"
    world.admin("dev").delete(account)
    done = operator.collect()
    (line,) = [line for line in done.output.splitlines() if line.startswith("✗")]
    assert "create token tls-sync" in line
    assert "exit status 1: NotFound: apply the manifests there first; left out" in line


def test_a_context_that_leads_elsewhere_is_refused(world: World, operator: Operator) -> None:
    """With the clusterId pinned, no token of another cluster gets into the kubeconfig."""
    positions = {name: world.log_position(name) for name in ("dev", "prd")}
    done = operator.collect("--context", "dev=cluster-prd", "--cluster", "dev")
    assert done.status == 1
    found = world.admin("prd").cluster_id()
    told = "your context cluster-prd leads to another cluster than the pinned one"
    remedy = f"correct the context, or, if the cluster was replaced, set clusterId: {found}"
    assert f"{told}; {remedy}; left out" in done.output
    for name, position in positions.items():
        verbs = verbs_of_admin(world, name, position)
        assert "create" not in verbs


def test_no_secret_is_ever_shown(world: World, operator: Operator) -> None:
    """No token, the operator's or ours, in what is printed, in an argument, or in the environment."""
    outputs = []
    outputs.append(operator.collect())
    made = tokens(operator.entries())
    operator.edit("rct", server="https://127.0.0.1:1")
    outputs.append(operator.collect())
    outputs.append(operator.collect("--namespace", "nowhere"))
    outputs.append(operator.collect("--dry-run"))
    made |= {f"{context}, renewed": token for context, token in tokens(operator.entries()).items()}
    made |= {f"admin of {name}": world.sandbox.cluster(name).admin_token for name in world.sandbox.names}
    canaries = {name: token.encode() for name, token in made.items()}
    text = "".join(done.output + done.errors for done in outputs)
    assert "written on OPS" in text
    assert "exit status" in text
    assert found_in(text.encode(), canaries) == set()
    assert b"create" in operator.calls.read_bytes()
    assert found_in(operator.calls.read_bytes(), canaries) == set()
    operator.kubeconfig.unlink()
    operator.calls.unlink()
    left = [path for path in operator.calls.parent.rglob("*") if path.is_file() and path != world.kubeconfig]
    assert [path for path in left if found_in(path.read_bytes(), canaries)] == []


@pytest.mark.parametrize("configured", [False, True])
def test_an_unknown_context_of_ops_is_told_with_those_that_there_are(
    operator: Operator, configured: bool
) -> None:
    """Whether the option names it or the configuration; no token is made before."""
    given, remedy = ["--ops-context", "cluster-osp"], "correct --ops-context"
    if configured:
        document = yaml.safe_load(operator.world.config_path.read_text())
        document["source"]["context"] = "cluster-osp"
        operator.world.config_path.write_text(yaml.safe_dump(document))
        given, remedy = [], "set --ops-context <yours>"
    done = operator.target("kubeconfig", *given)
    assert (done.status, done.output) == (1, "")
    there = ", ".join(sorted(context_name(name) for name in operator.world.sandbox.names))
    assert done.errors == (
        f"tls-sync: no context cluster-osp in your kubeconfig, which has: {there}; {remedy}\n"
    )


def test_the_runs_own_kubeconfig_is_told_from_an_administrators(operator: Operator) -> None:
    """KUBECONFIG still names what this very command wrote: its user may make no token."""
    operator.environment["KUBECONFIG"] = str(operator.world.kubeconfig)
    for done in (operator.collect(), operator.collect("--output", str(operator.kubeconfig) + ".new")):
        assert done.status == 1
        told = f"your kubectl uses KUBECONFIG={operator.world.kubeconfig}; this needs an administrator's"
        assert told in done.output + done.errors


def test_nowhere_to_put_it_is_said(operator: Operator) -> None:
    """In the cluster's configuration OPS has no context, so the operator has to name theirs."""
    document = yaml.safe_load(operator.world.config_path.read_text())
    document["source"]["context"] = None
    operator.world.config_path.write_text(yaml.safe_dump(document))
    done = operator.target("kubeconfig")
    assert (done.status, done.output) == (1, "")
    assert "--ops-context" in done.errors
