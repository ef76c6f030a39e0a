"""Proposes a configuration for the clusters that Argo CD knows. Pure."""

from collections.abc import Iterator, Mapping, Sequence

from tasks.config.rules import MAX_CLUSTERS
from tasks.domain.names import LABEL_KEY, LABEL_VALUE
from tasks.domain.text import join_limited, printable
from tasks.setup.found import ArgoCluster, FoundCluster
from tasks.setup.proposal import Proposal, head, label_of, scalar

OWN_SERVER = "https://kubernetes.default.svc"
"""The address by which Argo CD means the cluster that it runs in."""
OF_TOOLS = ("argocd.argoproj.io/", "app.kubernetes.io/", "kubernetes.io/", "helm.sh/", "kustomize.")
"""Prefixes of labels that say how the Secret is managed, and nothing about the cluster."""
CREDENTIALS = "tls-sync-credentials"


def propose_from_argocd(
    ops: FoundCluster, namespace: str, known: Sequence[FoundCluster], argo: Sequence[ArgoCluster]
) -> Proposal:
    """Return a configuration that loads, and sends nothing until somebody writes routes.

    `known` are the clusters of the operator's kubeconfig: one with the same address has the clusterId.
    """
    entries, notes = list[tuple[str, ArgoCluster]](), list[str]()
    taken = set[str]()
    by_server = {one.server.rstrip("/"): one for one in known if one.server and not one.problem}
    for one in argo:
        same = by_server.get(one.server.rstrip("/"))
        if one.server.rstrip("/") == OWN_SERVER or (same and same.cluster_id == ops.cluster_id):
            notes.append(f"{printable(one.name)} is left out: it is Argo CD's own cluster, or OPS")
            continue
        name = _free(label_of(one.name), taken)
        taken.add(name)
        entries.append((name, one))
        if name != one.name:
            notes.append(f"{printable(one.name)} is called {name}: a cluster's name is a DNS label")
    if len(entries) > MAX_CLUSTERS:
        notes.append(
            f"{len(entries) - MAX_CLUSTERS:,} clusters are left out: at most {MAX_CLUSTERS:,} are possible"
        )
    chosen = entries[:MAX_CLUSTERS]
    lines = [*head(ops, namespace), *_shared(), "clusters:"]
    for name, one in chosen:
        lines += _entry(name, one, by_server.get(one.server.rstrip("/")))
    return Proposal("\n".join(lines) + "\n", tuple(name for name, _ in chosen), 0, _shortened(notes))


def _shortened(notes: list[str]) -> tuple[str, ...]:
    shown = 20
    return (*notes[:shown], *([f"and {len(notes) - shown:,} more like these"] if len(notes) > shown else []))


def _free(name: str, taken: set[str]) -> str:
    """Return the name, with a number if another cluster has it."""
    found, number = name, 1
    while found in taken:
        number += 1
        found = f"{name[:58]}-{number}"
    return found


def _shared() -> Iterator[str]:
    yield "# Each cluster has its kubeconfig in a Secret there, which tls-sync rights kubeconfig makes."
    yield "credentials:"
    yield f"  namespace: {CREDENTIALS}"
    yield ""
    yield "# Routes and DNS names for several clusters, by label or name. Replace these: they match nothing."
    yield "hostnames:"
    yield '  - clusters: ["*"]'
    yield '    names: ["*.example.invalid"]'
    yield "routes:"
    yield '  - clusters: ["*"]'
    yield '    certificates: ["example-invalid-*"]'
    yield "    namespaces: [my-app]"
    yield ""


def _entry(name: str, one: ArgoCluster, same: FoundCluster | None) -> Iterator[str]:
    yield f"  - name: {scalar(name)}  # {printable(one.server)}"
    if same:
        yield f"    clusterId: {scalar(same.cluster_id)}  # as your context {printable(same.context)} says"
    if labels := labels_of(one.labels):
        pairs = (f"{scalar(key)}: {scalar(labels[key])}" for key in sorted(labels))
        yield f"    labels: {{{', '.join(pairs)}}}"


def labels_of(given: Mapping[str, str]) -> dict[str, str]:
    """Return the labels that say something about the cluster."""
    return {
        key: text
        for key, text in given.items()
        if not key.startswith(OF_TOOLS) and LABEL_KEY.fullmatch(key) and LABEL_VALUE.fullmatch(text)
    }


def next_commands(clusters: Sequence[str]) -> str:
    """Return the commands that give each cluster its rights and its credential."""
    return (
        "The credentials of Argo CD were not read, and tls-sync needs none of them. For each cluster "
        f"({join_limited(clusters)}):\n"
        "  tls-sync rights manifests --cluster NAME | kubectl --context CONTEXT apply --server-side -f -\n"
        "  tls-sync rights kubeconfig --cluster NAME --context NAME=CONTEXT\n"
    )
