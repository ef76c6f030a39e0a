"""The manifests of a cluster: tls-sync's account, and its rights in the namespaces that it uses."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from tasks.config.schema import Cluster, Credentials, Discover, Source, SyncConfig
from tasks.domain.text import printable
from tasks.setup.collection import ACCOUNT

Manifest = dict[str, Any]

_HERE = Path(__file__).parent
_ONCE = ("target/rbac.yaml", "target/admission-policy.yaml")
_WHERE_PRUNED = "target/prune-policy.yaml"
_PER_NAMESPACE, _WHERE_SELECTED = "target/namespace-role.yaml", "target/selector-role.yaml"
_OPS_ONCE, _OPS_NAMESPACE = "ops/rbac.yaml", "ops/namespace-role.yaml"
_OPS_CREDENTIALS = "ops/credentials-role.yaml"
_OPS_DISCOVER = "ops/discover-role.yaml"
_EVENTS = {"apiGroups": [""], "resources": ["events"], "verbs": ["create"]}
_KEYS, _KEYS_TOLD = '"tls.crt", "tls.key", "ca.crt"', "tls.crt, tls.key and ca.crt"
"""The keys that the policy allows, in its rule and its message."""
_PRUNED: dict[str, Manifest] = {
    "tls-sync deletes nothing": {
        "expression": (
            'request.operation != "DELETE" || (variables.wasOurs'
            " && variables.notes.all(note, note in variables.annotationsBefore)"
            ' && variables.annotationsBefore["tls-sync.io/orphaned-runs"].matches("^[0-9]{1,6}$")'
            ' && int(variables.annotationsBefore["tls-sync.io/orphaned-runs"]) >= 3'
            ' && variables.annotationsBefore[?"tls-sync.io/prune"].orValue("true") == "true")'
        ),
        "message": "tls-sync deletes only its own copies, which three runs have noted as gone from OPS",
        "reason": "Forbidden",
    },
    "tls-sync notes nothing to be deleted (annotations tls-sync.io/orphaned-*)": {
        "expression": "oldObject != null || !variables.notes.exists(note, note in variables.annotations)",
        "message": "tls-sync notes nothing to be deleted on what it creates",
        "reason": "Forbidden",
    },
}
"""Rules of the policy where the cluster is pruned, by the message of the rule that each replaces."""


def manifests(cluster: Cluster, account: str = ACCOUNT) -> Iterator[Manifest]:
    """Yield all that a cluster's account needs; applications own the routed namespaces."""
    for name in (*_ONCE, _WHERE_PRUNED) if cluster.prune else _ONCE:
        for document in _documents(name):
            yield _adapted(document, cluster, account)
    for document in _documents(_WHERE_SELECTED) if cluster.selectors_of(None) else ():
        yield _adapted(document, cluster, account)
    for namespace in cluster.namespaces_of(None):
        for document in _documents(_PER_NAMESPACE):
            yield _in_namespace(_adapted(document, cluster, account), namespace)


def ops_manifests(
    source: Source,
    credentials: Credentials | None = None,
    account: str = ACCOUNT,
    discover: Discover | None = None,
) -> Iterator[Manifest]:
    """Yield all that runs outside of pods need on OPS; in pods, the chart has the same."""
    for document in _documents(_OPS_ONCE):
        yield _named(document, account)
    for document in _documents(_OPS_NAMESPACE):
        given = _in_namespace(_named(document, account), source.namespace)
        yield _with_events(given) if source.events else given
    if credentials:
        yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": credentials.namespace}}
        for document in _documents(_OPS_CREDENTIALS):
            yield _in_namespace(_named(document, account), credentials.namespace)
    if discover:  # the namespace is that of the cluster manager, which makes it
        for document in _documents(_OPS_DISCOVER):
            yield _in_namespace(_named(document, account), discover.cluster_profiles.namespace)


def _in_namespace(document: Manifest, namespace: str) -> Manifest:
    return {**document, "metadata": {**document["metadata"], "namespace": namespace}}


def _adapted(document: Manifest, cluster: Cluster, account: str) -> Manifest:
    named: Manifest = _with_keys(_named(document, account), cluster.further_keys)
    return _with_prune(named) if cluster.prune else named


def _with_keys(document: Manifest, keys: frozenset[str]) -> Manifest:
    """Return a document; if it is the policy, with further keys that may be written."""
    if document["kind"] != "ValidatingAdmissionPolicy" or not keys:
        return document
    names = ("tls.crt", "tls.key", "ca.crt", *sorted(keys))
    listed, told = ", ".join(f'"{name}"' for name in names), f"{', '.join(names[:-1])} and {names[-1]}"
    validations = [
        {
            **one,
            "expression": one["expression"].replace(_KEYS, listed),
            "message": one["message"].replace(_KEYS_TOLD, told),
        }
        for one in document["spec"]["validations"]
    ]
    return {**document, "spec": {**document["spec"], "validations": validations}}


def _with_prune(document: Manifest) -> Manifest:
    """Return a document with the rights and rules for deleting."""
    if document["kind"] in ("Role", "ClusterRole"):
        rules = [_with_delete(rule) for rule in document["rules"]]
        return {**document, "rules": rules}
    if document["kind"] == "ValidatingAdmissionPolicy":
        spec = document["spec"]
        validations = [_PRUNED.get(one["message"], one) for one in spec["validations"]]
        return {**document, "spec": {**spec, "validations": validations}}
    return document


def _with_delete(rule: Manifest) -> Manifest:
    return {**rule, "verbs": [*rule["verbs"], "delete"]} if rule["resources"] == ["secrets"] else rule


def _with_events(document: Manifest) -> Manifest:
    """Return a document with the right to create what `source.events` asks for."""
    return {**document, "rules": [*document["rules"], _EVENTS]} if document["kind"] == "Role" else document


def _named(part: Any, account: str) -> Any:
    """Return a document for another account, which names its namespace, roles and policy, too.

    So two tls-syncs, each with its own account, share no object on a target.
    """
    if isinstance(part, dict):
        return {
            key: _name(value, account) if key in _NAMES and isinstance(value, str) else _named(value, account)
            for key, value in part.items()
        } | {key: [_name(one, account) for one in part[key]] for key in _LISTED & part.keys()}
    if isinstance(part, list):
        return [_named(one, account) for one in part]
    return part.replace(_USER, _user(account)) if isinstance(part, str) else part


def _name(given: str, account: str) -> str:
    ours = given == ACCOUNT or given.startswith(f"{ACCOUNT}-")
    return account + given.removeprefix(ACCOUNT) if ours else given


def _user(account: str) -> str:
    return f"system:serviceaccount:{account}:{account}"


_NAMES, _LISTED = frozenset({"name", "namespace", "policyName"}), frozenset({"resourceNames"})
_USER = _user(ACCOUNT)


def render(clusters: Iterable[Cluster], account: str = ACCOUNT) -> str:
    """Return the manifests as YAML, with a comment on how to apply those of each cluster."""
    return "\n".join(_render(cluster, account) for cluster in clusters)


def _render(cluster: Cluster, account: str) -> str:
    return _document(
        f"Cluster {printable(cluster.name)}, context {printable(cluster.admin_context)}",
        f"--cluster {printable(cluster.name)}",
        printable(cluster.admin_context),
        manifests(cluster, account),
        account,
    )


def render_ops(config: SyncConfig, account: str = ACCOUNT) -> str:
    """Return the manifests of OPS as YAML, with a comment on how to apply them."""
    context = printable(config.source.context or "CONTEXT")
    documents = ops_manifests(config.source, config.credentials, account, config.discover)
    return _document("OPS", "--ops", context, documents, account)


def _document(what: str, chosen: str, context: str, documents: Iterable[Manifest], account: str) -> str:
    body = yaml.safe_dump_all(documents, explicit_start=True, sort_keys=False, width=110)
    option = "" if account == ACCOUNT else f" --account {account}"
    return (
        f"# {what}. To apply these and nothing else:\n"
        f"#   tls-sync rights manifests {chosen}{option} \\\n"
        f"#     | kubectl --context {context} apply --server-side -f -\n{body}"
    )


def _documents(name: str) -> Iterator[Manifest]:
    yield from yaml.safe_load_all((_HERE / name).read_text("utf-8"))
