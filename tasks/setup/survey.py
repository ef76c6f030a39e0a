"""Looks at the clusters of the operator's kubeconfig with their own kubectl. It reads no Secret."""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tasks.domain.names import is_name, is_namespace
from tasks.kube.responses import metadata_of
from tasks.setup.collection import MAX_CONCURRENCY
from tasks.setup.errors import SetupError
from tasks.setup.found import FoundCertificate, FoundCluster
from tasks.setup.kubectl import Kubectl


def find_clusters(kubeconfig: str | None = None) -> list[FoundCluster]:
    """Return one entry per context, in the order of their names. Raises SetupError without a kubectl."""
    names = sorted(Kubectl(kubeconfig=kubeconfig).contexts())
    with ThreadPoolExecutor(MAX_CONCURRENCY) as pool:
        return list(pool.map(lambda name: _cluster(Kubectl(name, kubeconfig)), names))


def _cluster(kubectl: Kubectl) -> FoundCluster:
    context = str(kubectl.context)
    try:
        items = _items(kubectl.run("get", "namespaces", "--output=json"))
        uids = {one["metadata"]["name"]: one["metadata"]["uid"] for one in items}
        namespaces = frozenset(filter(is_namespace, uids))
        return FoundCluster(context, uids["kube-system"], namespaces, _server(kubectl))
    except SetupError as error:
        return FoundCluster(context, problem=str(error))
    except (KeyError, TypeError):
        return FoundCluster(context, problem="kubectl's list of namespaces can't be read")


def _server(kubectl: Kubectl) -> str:
    return kubectl.run(
        "config", "view", "--minify", "--output=jsonpath={.clusters[0].cluster.server}"
    ).strip()


def find_certificates(context: str, namespace: str, kubeconfig: str | None = None) -> list[FoundCertificate]:
    """Return cert-manager's Certificates in a namespace, sorted by the name of their Secret.

    Raises SetupError.
    """
    options = ("get", "certificates.cert-manager.io", f"--namespace={namespace}", "--output=json")
    specs = [one.get("spec") or {} for one in _items(Kubectl(context, kubeconfig).run(*options))]
    found = {str(spec.get("secretName")): spec.get("dnsNames") or [] for spec in specs}
    return [FoundCertificate(name, tuple(map(str, found[name]))) for name in sorted(found) if is_name(name)]


def namespaces_with_certificates(context: str, kubeconfig: str | None = None) -> list[str]:
    """Return the namespaces of a cluster that have Certificates, sorted. Raises SetupError."""
    options = ("get", "certificates.cert-manager.io", "--all-namespaces", "--output=json")
    found = (metadata_of(one).get("namespace") for one in _items(Kubectl(context, kubeconfig).run(*options)))
    return sorted({str(one) for one in found if is_namespace(str(one))})


def choose_ops(clusters: Sequence[FoundCluster], given: str | None, namespace: str) -> FoundCluster:
    """Return the cluster that `given` names, or the only one with this namespace. Raises SetupError."""
    candidates = [one for one in clusters if given in (None, one.context)]
    if not clusters:
        raise SetupError("your kubeconfig has no context: set KUBECONFIG to one that has, or log in")
    if given and not candidates:
        raise SetupError(f"no context {given} in your kubeconfig, which has: {_names(clusters)}")
    if not given:
        candidates = [one for one in candidates if namespace in one.namespaces]
    ids = {one.cluster_id for one in candidates}
    if len(ids) != 1:
        has = f"{_names(candidates)} have" if candidates else "no context of your kubeconfig has"
        unknown = [one for one in clusters if one.problem and not candidates]
        asked = f" ({_names(unknown)}: {unknown[0].problem})" if unknown else ""
        raise SetupError(
            f"{has} a namespace {namespace}{asked}: say which cluster is OPS by --ops-context, "
            "and where cert-manager writes by --namespace"
        )
    if candidates[0].problem:
        raise SetupError(f"OPS can't be asked: {candidates[0].problem}")
    return candidates[0]


def _names(clusters: Sequence[FoundCluster]) -> str:
    return ", ".join(one.context for one in clusters) or "none"


def _items(text: str) -> list[dict[str, Any]]:
    try:
        found = json.loads(text)["items"]
    except (KeyError, TypeError, ValueError):
        raise SetupError("what kubectl prints is no list; look at it with kubectl get") from None
    return [one for one in found if isinstance(one, dict)]
