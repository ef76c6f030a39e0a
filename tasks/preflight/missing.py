"""Finds what of OPS's certificates and the routes does not fit together, or has no effect. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from difflib import get_close_matches

from tasks.config.routes import ClusterSelection
from tasks.config.schema import Cluster, SyncConfig
from tasks.domain.names import is_glob
from tasks.domain.patterns import PatternIndex
from tasks.domain.reasons import Reason
from tasks.domain.text import join_limited
from tasks.preflight.diagnose import error, warning
from tasks.preflight.model import Check, Finding

MAX_FINDINGS = 20
"""Maximum number of certificates with a finding of their own; the others are counted."""
UNUSED, NOT_ALLOWED, NOTHING_SERVED = "NoCluster", "NamespaceNotAllowed", "NothingServed"
MAX_SIMILAR, MIN_SIMILARITY = 2, 0.75
"""Maximum number of names of OPS that are suggested, and how similar they must be, from 0 to 1."""


def missing_findings(clusters: Iterable[Cluster], held: AbstractSet[str]) -> Iterator[Finding]:
    """Return an error for each name in the routes of these clusters that is not among the certificates held.

    A glob may match nothing; a certificate that cert-manager has yet to issue is held.
    """
    wanted = {name: to for name, to in _named(clusters).items() if name not in held}
    reason = Reason.MISSING_ON_SOURCE
    for name in sorted(wanted)[:MAX_FINDINGS]:
        text = f"{name} (to {join_limited(wanted[name])}): {reason.sentence}"
        yield error(Check.NAMESPACES, reason, text, _remedy(name, held))
    if len(wanted) > MAX_FINDINGS:
        text = f"{len(wanted) - MAX_FINDINGS:,} more: {reason.sentence}"
        yield error(Check.NAMESPACES, reason, text, reason.remedy)


def unused_findings(config: SyncConfig) -> Iterator[Finding]:
    """Return a warning for each route, list of hostnames and limit at the top level without a cluster."""
    every: tuple[tuple[str, Sequence[ClusterSelection]], ...] = (
        ("routes", config.routes),
        ("hostnames", config.hostnames),
        ("selfService", config.self_service),
    )
    for key, shared in every:
        for number, one in enumerate(shared):
            if not any(one.selects(cluster.name, cluster.labels) for cluster in config.clusters):
                remedy = "correct its `clusters` or `labels`, or those of the clusters, or remove it"
                yield warning(Check.NAMESPACES, UNUSED, f"{key}[{number}] is for no cluster", remedy)


def not_allowed_findings(clusters: Iterable[Cluster], held: Iterable[str]) -> Iterator[Finding]:
    """Return a warning for each route whose placeholders yield namespaces that it does not allow."""
    index = PatternIndex(held)
    routes = {id(one): one for cluster in clusters for one in cluster.routes if one.allowed_namespaces}
    for route in routes.values():
        found = {name for pattern in route.certificates for name in index.overlapping(pattern)}
        beyond = [f"{ns} ({name})" for name in sorted(found) for ns in route.beyond_allowed(name)]
        if beyond:
            text = f"not sent, since allowedNamespaces lacks their namespace: {join_limited(beyond)}"
            remedy = "add the namespaces that are to get them, and apply `tls-sync rights manifests` there"
            yield warning(Check.NAMESPACES, NOT_ALLOWED, text, remedy)


def verify_findings(config: SyncConfig) -> Iterator[Finding]:
    """Return a warning if later waves are to wait for what addresses serve, and no address is known."""
    earlier = (one for one in config.clusters if one.wave < config.last_wave and not one.suspended)
    if config.waves.verify and not any(route.served for one in earlier for route in one.routes):
        text = "waves.verify is served, but no route of an earlier wave has `served`: no wave waits for it"
        remedy = "add `served` to the routes whose addresses are to be asked, or remove waves.verify"
        yield warning(Check.NAMESPACES, NOTHING_SERVED, text, remedy)


def _named(clusters: Iterable[Cluster]) -> dict[str, list[str]]:
    """Return the names that routes have without a glob, each with its clusters."""
    found: dict[str, dict[str, None]] = defaultdict(dict)
    for cluster in clusters:
        for route in cluster.routes:
            for pattern in route.certificates:
                if not is_glob(pattern):
                    found[pattern][cluster.name] = None
    return {name: [*to] for name, to in found.items()}


def _remedy(name: str, held: AbstractSet[str]) -> str:
    """Return what to do, with the names of OPS that may have been meant."""
    similar = get_close_matches(name, sorted(held), MAX_SIMILAR, MIN_SIMILARITY)
    if not similar:
        return Reason.MISSING_ON_SOURCE.remedy
    return f"OPS has {' and '.join(similar)}: {Reason.MISSING_ON_SOURCE.remedy}"
