"""Proposes a configuration for the clusters and certificates that were found. Pure."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile

import yaml

from tasks.domain.names import is_hostname_pattern, is_protected
from tasks.domain.text import join_limited, printable
from tasks.setup.found import FoundCertificate, FoundCluster

MAX_WIDTH = 110


@dataclass(frozen=True)
class Proposal:
    text: str
    """A file tls-sync.yaml."""
    clusters: tuple[str, ...]
    """Names of the clusters that have a route."""
    placed: int
    """Number of certificates that a route names."""
    left_out: tuple[str, ...] = ()
    """Which contexts and certificates are left out, for people; the file says so, too."""


def propose(
    ops: FoundCluster,
    namespace: str,
    clusters: Sequence[FoundCluster],
    certificates: Sequence[FoundCertificate],
) -> Proposal:
    """Return a configuration that a run accepts, if a certificate could be placed.

    A certificate is placed in a namespace whose name its own name begins with. If names of clusters are
    parts of its name, it is placed on those clusters only.
    """
    others, notes = _targets(ops, clusters)
    names = _names_of([ops, *others])
    routes = {one.context: dict[str, list[FoundCertificate]]() for one in others}
    for certificate in certificates:
        for cluster in _likely(certificate, others, names):
            if where := _namespace(certificate.secret, cluster.namespaces):
                routes[cluster.context].setdefault(where, []).append(certificate)
    placed = {one.secret for by in routes.values() for found in by.values() for one in found}
    unplaced = [one.secret for one in certificates if one.secret not in placed]
    lines = [*head(ops, namespace), *notes, "clusters:"]
    for cluster in others:
        entry = list(_cluster(names[cluster.context], cluster, routes[cluster.context]))
        lines += entry if routes[cluster.context] else [f"  # {line[2:]}" for line in entry]
    if unplaced:
        lines += [
            "",
            "# No namespace has the beginning of these certificates' names; add them to routes, if you want:",
        ]
        lines += [f"#   {printable(name)}" for name in unplaced]
    served = tuple(names[one.context] for one in others if routes[one.context])
    left_out = [note.removeprefix("# ") for note in notes]
    if unplaced:
        left_out.append(f"No route yet, since no namespace begins like them: {join_limited(unplaced)}")
    return Proposal("\n".join(lines) + "\n", served, len(placed), tuple(map(printable, left_out)))


def _targets(ops: FoundCluster, clusters: Sequence[FoundCluster]) -> tuple[list[FoundCluster], list[str]]:
    """Return each other cluster once, and comments on the contexts that are left out."""
    seen, found, notes = {ops.cluster_id: ops.context}, list[FoundCluster](), list[str]()
    for one in clusters:
        context = printable(one.context)
        if one.problem:
            notes.append(f"# Context {context} is left out: {printable(one.problem)}")
        elif not one.context.isprintable():
            notes.append(f"# Context {context} is left out: its name has a character that can't be seen")
        elif one.cluster_id in seen and one.context != ops.context:
            notes.append(
                f"# Context {context} is left out: as {printable(seen[one.cluster_id])}, the same cluster"
            )
        elif one.context != ops.context:
            seen[one.cluster_id] = one.context
            found.append(one)
    return found, notes


def _names_of(clusters: Sequence[FoundCluster]) -> dict[str, str]:
    """Return a short name for each context: `dev` for cluster-dev, if the others begin so, too."""
    words = {one.context: label_of(re.split(r"[/@:]", one.context)[-1]) for one in clusters}
    prefix = _common_words([word.split("-") for word in words.values()])
    short = {context: "-".join(word.split("-")[prefix:]) for context, word in words.items()}
    if len({*short.values()}) < len(short):
        short = {
            context: label_of(f"{word[:59]}-{number}") for number, (context, word) in enumerate(short.items())
        }
    return short


def _common_words(names: Sequence[list[str]]) -> int:
    """Return how many words all of them begin with; one at least is left of each."""
    shortest = min(len(words) for words in names) - 1
    same = (len({words[place] for words in names}) == 1 for place in range(shortest))
    return sum(takewhile(bool, same)) if len(names) > 1 else 0


def label_of(text: str) -> str:
    """Return the text as an RFC 1123 label."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:63].strip("-") or "cluster"


def _likely(
    certificate: FoundCertificate, clusters: Sequence[FoundCluster], names: dict[str, str]
) -> Sequence[FoundCluster]:
    named = [one for one in clusters if f"-{names[one.context]}-" in f"-{certificate.secret}-"]
    return named or clusters


def _namespace(secret: str, namespaces: frozenset[str]) -> str:
    """Return the longest name of a namespace with which the Secret's begins; empty if there is none."""
    found = [one for one in namespaces if f"{secret}-".startswith(f"{one}-") and not is_protected(one)]
    return max(found, key=len, default="")


def head(ops: FoundCluster, namespace: str) -> list[str]:
    return [
        "# Proposed by tls-sync init from the contexts of your kubeconfig.",
        "# deployments/tls-sync.yaml explains all keys.",
        "# Check routes and hostnames: they are guesses, by the names of certificates and namespaces.",
        "# What no route names is not copied. Nothing was written to a cluster.",
        "",
        "# A label of every copy; copies of another owner are never changed.",
        "owner: ops",
        "",
        "source:",
        f"  namespace: {scalar(namespace)}  # where cert-manager writes its Secrets",
        f"  context: {scalar(ops.context)}  # of the kubeconfig; remove it where runs are in pods on OPS",
        f"  clusterId: {scalar(ops.cluster_id)}  # the uid of its namespace kube-system",
        "",
    ]


def _cluster(name: str, one: FoundCluster, routes: dict[str, list[FoundCertificate]]) -> Iterator[str]:
    found = sorted({host for by in routes.values() for each in by for host in each.dns_names})
    hosts = [host for host in found if is_hostname_pattern(host)]
    yield f"  - name: {scalar(name)}  # what people type: tls-sync sync --cluster {name}"
    yield f"    context: {scalar(one.context)}"
    yield "    # Where the context leads to another cluster than this one, nothing is written."
    yield f"    clusterId: {scalar(one.cluster_id)}"
    yield "    # The DNS names of certificates that may be copied to this cluster; * stands for one label."
    yield f"    hostnames: {_flow(hosts or ['*.example.org'])}"
    yield "    routes:"
    for namespace, certificates in sorted(routes.items()) or [
        ("my-app", [FoundCertificate("my-app-tls", ())])
    ]:
        yield f"      - certificates: {_flow([each.secret for each in certificates])}"
        yield f"        namespaces: {_flow([namespace])}"


def scalar(text: str) -> str:
    return yaml.safe_dump(text, default_flow_style=True, width=10_000).split("\n")[0]


def _flow(texts: Sequence[str]) -> str:
    return yaml.safe_dump(list(texts), default_flow_style=True, width=10_000).rstrip()
