"""`tls-sync rights manifests` prints the files' content, for the routed namespaces."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks.config.load import load_config
from tasks.config.routes import Route
from tasks.config.schema import Cluster
from tasks.domain import annotations
from tasks.plan.orphans import MIN_RUNS
from tasks.setup.manifests import manifests, ops_manifests, render
from tasks.target.selected import binding_command

ROOT = Path(__file__).parents[3]
TARGET = ROOT / "tasks" / "setup" / "target"
EXAMPLE = ROOT / "deployments" / "tls-sync.yaml"


def documents(name: str) -> list[Any]:
    return list(yaml.safe_load_all((TARGET / name).read_text()))


def in_namespace(document: dict[str, Any], namespace: str) -> dict[str, Any]:
    return document | {"metadata": document["metadata"] | {"namespace": namespace}}


def test_the_files_are_the_only_truth() -> None:
    """Account and policy are as in the files; Role and binding are in each routed namespace, and no other."""
    (dev,) = load_config(str(EXAMPLE)).named("dev")
    expected = documents("rbac.yaml") + documents("admission-policy.yaml")
    for namespace in ("headlamp-dev", "homarr-dev"):
        expected += [in_namespace(document, namespace) for document in documents("namespace-role.yaml")]
    assert list(manifests(dev)) == expected
    assert list(yaml.safe_load_all(render([dev]))) == expected


def test_only_where_a_cluster_is_pruned_may_anything_be_deleted() -> None:
    """With prune the Role has `delete`, and policies allow it for copies marked for a day."""
    (dev,) = load_config(str(EXAMPLE)).named("dev")
    pruned = list(manifests(dev.model_copy(update={"prune": True})))
    age = documents("prune-policy.yaml")
    assert [one for one in pruned if one in age] == age
    rest = [one for one in pruned if one not in age]
    differing = [new for old, new in zip(manifests(dev), rest, strict=True) if old != new]
    assert [one["kind"] for one in differing] == ["ValidatingAdmissionPolicy", "Role", "Role"]
    policy, *roles = differing
    assert all("delete" in rule["verbs"] for role in roles for rule in role["rules"])
    before = documents("admission-policy.yaml")[0]["spec"]["validations"]
    changed = [(a, b) for a, b in zip(before, policy["spec"]["validations"], strict=True) if a != b]
    assert [old["message"] for old, _ in changed] == [
        "tls-sync deletes nothing",
        "tls-sync notes nothing to be deleted (annotations tls-sync.io/orphaned-*)",
    ]
    assert f'orphaned-runs"]) >= {MIN_RUNS}' in changed[0][1]["expression"]


def test_both_policies_are_about_the_same() -> None:
    """The policy names the user, the label of all copies, and the annotations that runs write."""
    (always, _), (age, _) = documents("admission-policy.yaml"), documents("prune-policy.yaml")
    assert always["spec"]["matchConditions"] == age["spec"]["matchConditions"]
    selector = age["spec"]["matchConstraints"]["objectSelector"]
    assert selector == {"matchLabels": {annotations.MANAGED_BY: annotations.FIELD_MANAGER}}
    (notes,) = (one for one in always["spec"]["variables"] if one["name"] == "notes")
    assert set(yaml.safe_load(notes["expression"])) == annotations.ORPHAN_MARKS
    since = [one["expression"] for one in age["spec"]["variables"]]
    assert all(f'"{annotations.ORPHANED_SINCE}"' in one for one in since)
    keys = (one["expression"] for one in always["spec"]["validations"] if "tls.crt" in one["expression"])
    assert {
        key for one in keys for key in re.findall(r'"(\S+\.(?:crt|key))"', one)
    } == annotations.COPIED_KEYS


@pytest.mark.parametrize("prune", [False, True])
def test_two_accounts_share_no_object_on_a_target(prune: bool) -> None:
    """Another tls-sync's account has its own namespace, roles and policy, with the same rules."""
    (dev,) = load_config(str(EXAMPLE)).named("dev")
    dev = dev.model_copy(update={"prune": prune})
    ours, theirs = list(manifests(dev)), list(manifests(dev, "tls-sync-web"))
    assert {place(one) for one in ours} & {place(one) for one in theirs} == set()
    assert len({place(one) for one in theirs}) == len(ours)
    user = "system:serviceaccount:{0}:{0}"
    as_ours = str(theirs).replace("tls-sync-web", "tls-sync")
    assert as_ours == str(ours)
    assert user.format("tls-sync-web") in str(theirs)
    assert user.format("tls-sync") not in str(theirs)
    for one in theirs:
        if one["kind"].endswith("RoleBinding"):
            assert {(s["namespace"], s["name"]) for s in one["subjects"]} == {("tls-sync-web",) * 2}
            assert (one["roleRef"]["kind"], one["roleRef"]["name"]) in {
                (role["kind"], role["metadata"]["name"]) for role in theirs
            }
        if one["kind"] == "ValidatingAdmissionPolicyBinding":
            assert one["spec"]["policyName"] == one["metadata"]["name"]


def test_another_account_has_its_rights_where_the_routes_say() -> None:
    """Routed namespaces keep their names, even where these begin like the account's."""
    (dev,) = load_config(str(EXAMPLE)).named("dev")
    route = dev.routes[0].model_copy(update={"namespaces": ("tls-sync-demo", "tls-sync")})
    dev = dev.model_copy(update={"routes": (route,)})
    named = [one["metadata"].get("namespace") for one in manifests(dev, "web") if one["kind"] == "Role"]
    assert sorted(filter(None, named)) == ["tls-sync", "tls-sync-demo"]


def test_what_another_account_writes_is_labelled_alike() -> None:
    """The label managed-by and our annotations do not have the account's name."""
    (dev,) = load_config(str(EXAMPLE)).named("dev")
    (policy,) = (one for one in manifests(dev, "web") if one["kind"] == "ValidatingAdmissionPolicy")
    assert '== "tls-sync"' in str(policy["spec"]["variables"])
    assert "tls-sync.io/adopt" in str(policy["spec"])


def place(manifest: dict[str, Any]) -> tuple[str, str, str]:
    metadata = manifest["metadata"]
    return manifest["kind"], metadata.get("namespace", ""), metadata["name"]


def test_a_namespace_is_never_made_for_an_application() -> None:
    """The manifests create no routed namespace, so a misspelt route fails."""
    for cluster in load_config(str(EXAMPLE)).clusters:
        made = [d["metadata"]["name"] for d in manifests(cluster) if d["kind"] == "Namespace"]
        assert made == ["tls-sync"]


def test_only_what_asks_for_events_may_create_them() -> None:
    """The Role on OPS has no right to write, unless `source.events` is true; then it is this one."""
    source = load_config(str(EXAMPLE)).source
    without = list(ops_manifests(source))
    given = list(ops_manifests(source.model_copy(update={"events": True})))
    (old,), (new,) = ([one for one in kind if one["kind"] == "Role"] for kind in (without, given))
    assert {verb for rule in old["rules"] for verb in rule["verbs"]} == {"get", "list"}
    assert new["rules"] == [*old["rules"], {"apiGroups": [""], "resources": ["events"], "verbs": ["create"]}]
    assert [one for one in without if one not in given] == [old]


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flows.cli", "rights", *arguments],
        cwd=ROOT,
        env=os.environ | {"TLS_SYNC_CONFIG": str(EXAMPLE)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_each_cluster_stands_under_its_name_and_context() -> None:
    """Without --cluster it prints all clusters, each with a comment on how to apply it."""
    done = command("manifests")
    assert (done.returncode, done.stderr) == (0, "")
    heads = [line for line in done.stdout.splitlines() if line.startswith("# Cluster ")]
    assert heads == [
        f"# Cluster {name}, context cluster-{name}. To apply these and nothing else:"
        for name in ("dev", "rct", "prd")
    ]
    only = command("manifests", "--cluster", "rct").stdout
    assert "# Cluster dev" not in only
    assert "homarr-rct" in only


def test_a_context_can_not_break_out_of_its_comment() -> None:
    """A context's name never changes the manifests."""
    (dev,) = load_config(str(EXAMPLE)).named("dev")
    odd = dev.model_copy(update={"context": "x\nkind: Secret\n---\n"})
    assert list(yaml.safe_load_all(render([odd]))) == list(manifests(dev))


def test_the_command_names_its_account_again() -> None:
    """The printed command makes the same objects; an invalid name is refused."""
    printed = command("manifests", "--cluster", "dev", "--account", "tls-sync-web").stdout
    assert "manifests --cluster dev --account tls-sync-web \\\n" in printed
    (dev,) = load_config(str(EXAMPLE)).named("dev")
    assert list(yaml.safe_load_all(printed)) == list(manifests(dev, "tls-sync-web"))
    refused = command("manifests", "--account", "Web_1")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "'Web_1' is not a valid name of a namespace" in refused.stderr


@pytest.mark.parametrize("taken", ["default", "kube-system", "argocd"])
def test_an_account_takes_no_namespace_of_others(taken: str) -> None:
    """Such a namespace is refused, since whoever may create pods there could use the account."""
    refused = command("manifests", "--account", taken)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert f"'{taken}' is a namespace of others; take a new name, such as tls-sync-web" in " ".join(
        refused.stderr.split()
    )


@pytest.mark.parametrize(
    "arguments",
    [("manifests", "--cluster", "rct"), ("kubeconfig", "--output", "/nowhere/config")],
)
def test_an_account_takes_no_namespace_of_an_application(arguments: tuple[str, ...]) -> None:
    """Its pods could use the account; a route of any cluster counts, whichever is printed."""
    (namespace, *_) = load_config(str(EXAMPLE)).clusters[0].namespaces_of(None)
    refused = command(*arguments, "--account", namespace)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith(
        f"tls-sync: --account {namespace}: namespace {namespace} is an application's "
    )
    assert refused.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--cluster", "nowhere"), "no such cluster; known are: dev, rct, prd"),
        (("--config", "/nowhere.yaml"), "configuration /nowhere.yaml: the file does not exist"),
    ],
)
def test_a_wrong_word_is_one_clear_sentence(arguments: tuple[str, str], text: str) -> None:
    """It prints nothing that could be applied."""
    done = command("manifests", *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert text in done.stderr
    assert done.stderr.count("\n") == 1


def selecting(prune: bool) -> Cluster:
    (dev,) = load_config(str(EXAMPLE)).named("dev")
    route = {"certificates": ["web-*"], "namespaceSelector": {"tls-sync.io/receives": "web"}}
    routes = (*dev.routes, Route.model_validate(route))
    return dev.model_copy(update={"prune": prune, "routes": routes})


@pytest.mark.parametrize("prune", [False, True])
def test_a_role_for_labelled_namespaces_is_bound_to_nobody(prune: bool) -> None:
    """It allows what the Role of a named namespace does; bound is only the right to see who asks."""
    found = list(manifests(selecting(prune)))
    (receiver,) = (one for one in found if one["metadata"]["name"] == "tls-sync-receiver")
    role = next(one for one in found if one["kind"] == "Role")
    assert receiver["rules"] == role["rules"]
    bindings = [one for one in found if one["kind"].endswith("RoleBinding")]
    assert "tls-sync-receiver" not in {one["roleRef"]["name"] for one in bindings}
    (selector,) = (one for one in found if one["metadata"]["name"] == "tls-sync-selector" and "rules" in one)
    assert {verb for rule in selector["rules"] for verb in rule["verbs"]} == {"list"}
    assert [rule["resources"] for rule in selector["rules"]] == [["namespaces"], ["rolebindings"]]
    assert binding_command("web", "system:serviceaccount:tls-sync:tls-sync") == (
        "kubectl --namespace web create rolebinding tls-sync-receiver --clusterrole=tls-sync-receiver "
        "--serviceaccount=tls-sync:tls-sync"
    )


def test_another_account_may_list_its_own_bindings() -> None:
    """The name in its ClusterRole is that of the bindings which its owners are told to make."""
    found = list(manifests(selecting(prune=False), "tls-sync-web"))
    (selector,) = (
        one for one in found if one["metadata"]["name"] == "tls-sync-web-selector" and "rules" in one
    )
    assert [rule.get("resourceNames") for rule in selector["rules"]] == [None, ["tls-sync-web-receiver"]]
    command = binding_command("web", "system:serviceaccount:tls-sync-web:tls-sync-web").split()
    assert command[command.index("rolebinding") + 1] == "tls-sync-web-receiver"
    assert "--clusterrole=tls-sync-web-receiver" in command


def test_a_user_that_is_no_service_account_is_bound_by_its_name() -> None:
    """An exec plugin or a client certificate has a user name, which a server's text is not shown for."""
    assert binding_command("web", "tls-sync@example.org") == (
        "kubectl --namespace web create rolebinding tls-sync-receiver "
        "--clusterrole=tls-sync-receiver --user=USER"
    )


def test_the_policy_allows_the_keys_that_routes_send() -> None:
    """No other key, and in the words of its message, too; without `keys` it is that of the file."""
    (dev,) = load_config(str(EXAMPLE)).named("dev")
    first = dev.routes[0].model_copy(update={"keys": ("tls-combined.pem", "key.der")})
    sending = dev.model_copy(update={"routes": (first, *dev.routes[1:])})
    for prune in (False, True):
        before, after = (list(manifests(one.model_copy(update={"prune": prune}))) for one in (dev, sending))
        ((old, new),) = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
        assert (old["kind"], old["metadata"]["name"]) == ("ValidatingAdmissionPolicy", "tls-sync")
        rules = zip(old["spec"]["validations"], new["spec"]["validations"], strict=True)
        ((_, rule),) = [(a, b) for a, b in rules if a != b]
        assert 'key in ["tls.crt", "tls.key", "ca.crt", "key.der", "tls-combined.pem"]' in rule["expression"]
        told = "tls-sync adds and changes no keys but tls.crt, tls.key, ca.crt, key.der and tls-combined.pem"
        assert rule["message"] == told
