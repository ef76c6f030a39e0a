"""Collects a credential for each cluster of the configuration.

They are written into one kubeconfig, or each into a Secret of its own.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tasks.config.schema import SyncConfig
from tasks.domain.errors import ClusterError
from tasks.domain.names import UID
from tasks.kubeconfig.expiry import WARN_BEFORE
from tasks.kubeconfig.reader import parse_access
from tasks.setup.document import Document, Entry, document_of, entries_of
from tasks.setup.errors import SetupError
from tasks.setup.kubectl import Kubectl
from tasks.setup.places import Place

ACCOUNT = "tls-sync"
"""Name of the ServiceAccount and its namespace on each cluster."""

MAX_CONCURRENCY = 8
"""Maximum number of clusters that are contacted at the same time."""


@dataclass(frozen=True)
class Wanted:
    """A cluster that needs an entry in the kubeconfig."""

    name: str
    context: str
    """The context in the configuration."""
    admin_context: str
    """The context in the operator's kubeconfig."""
    server: str = ""
    """Address in place of that in the operator's kubeconfig, which may work on their machine only."""
    cluster_id: str | None = None
    """The uid of kube-system that is expected."""
    suspended: bool = False
    """Whether the cluster is suspended, so that a missing credential is no failure."""
    own: bool = False
    """Whether its kubeconfig is a Secret of its own."""


@dataclass(frozen=True)
class Outcome:
    wanted: Wanted
    text: str
    entry: Entry | None = None
    """The entry of the kubeconfig."""
    renewed: bool = False
    failed: bool = False


@dataclass(frozen=True)
class Collector:
    """Reads clusters, and creates tokens, with the operator's kubectl."""

    kubeconfig: str | None
    duration: str
    dry_run: bool = False
    account: str = ACCOUNT
    capi: Mapping[str, str] = field(default_factory=dict)
    """By cluster: the file with the kubeconfig that Cluster API made for its administrators."""

    def contexts(self) -> frozenset[str]:
        return Kubectl(kubeconfig=self.kubeconfig).contexts()

    def entry(self, wanted: Wanted) -> Entry:
        admin = self.capi.get(wanted.name)
        kubectl = Kubectl(None, admin) if admin else Kubectl(wanted.admin_context, self.kubeconfig)
        # Only the cluster's part: the operator's own credential stays in kubectl.
        part = "--output=jsonpath={.clusters[0].cluster}"
        shown = kubectl.run("config", "view", "--raw", "--minify", "--flatten", part)
        try:
            cluster = {**json.loads(shown)}
        except (TypeError, ValueError):
            raise SetupError(
                f"context {wanted.admin_context} of your kubeconfig has no cluster; correct it"
            ) from None
        if wanted.server:
            cluster["server"] = wanted.server
        self._verify(kubectl, wanted)
        if self.dry_run:
            return Entry(cluster, {"token": "none"})
        options = (f"--namespace={self.account}", f"--duration={self.duration}")
        return Entry(cluster, {"token": kubectl.run("create", "token", self.account, *options).strip()})

    def _verify(self, kubectl: Kubectl, wanted: Wanted) -> None:
        """Raise SetupError where the context leads to another cluster, which else the next run finds."""
        if not wanted.cluster_id:
            return
        found = kubectl.run("get", "namespace", "kube-system", "--output=jsonpath={.metadata.uid}")
        if found != wanted.cluster_id:
            remedy = "correct the context"
            if UID.fullmatch(found):
                remedy = f"{remedy}, or, if the cluster was replaced, set clusterId: {found}"
            raise SetupError(
                f"your context {wanted.admin_context} leads to another cluster than the pinned one; {remedy}"
            )


def wanted_of(
    config: SyncConfig, ops_context: str | None, contexts: Mapping[str, str], servers: Mapping[str, str]
) -> tuple[Wanted, ...]:
    """Return the targets, and OPS where the configuration has a context for it."""
    clusters = [
        (one.name, one.admin_context, one.cluster_id, one.suspended, one.context is None)
        for one in config.clusters
    ]
    if config.source.context:
        contexts = {config.source.label: ops_context or config.source.context} | dict(contexts)
        clusters.insert(0, (config.source.label, config.source.context, None, False, False))
    known = [name for name, *_ in clusters]
    for name in {*contexts, *servers} - set(known):
        raise SetupError(f"{name}: no such cluster in the configuration; known are: {', '.join(known)}")
    return tuple(
        Wanted(name, context, contexts.get(name, context), servers.get(name, ""), cluster_id, suspended, own)
        for name, context, cluster_id, suspended, own in clusters
    )


def collect(
    collector: Collector,
    wanted: Iterable[Wanted],
    only: str | None,
    former: Document | None,
    known: frozenset[str],
) -> list[Outcome]:
    """Renew the entries; a cluster whose entry can't be renewed now keeps the former one.

    `known` are the contexts in the operator's kubeconfig.
    """
    entries = entries_of(former)

    def outcome(one: Wanted) -> Outcome:
        before = entries.get(one.context)
        if only not in (None, one.name) or (before and before.is_renewed_elsewhere):
            return Outcome(one, "unchanged" if before else "left out", before)
        try:
            return _renewed(collector, one, known)
        except SetupError as error:
            kept = "keeps its former credential" if before else "left out"
            return Outcome(one, f"{error}; {kept}", before, failed=not one.suspended)

    with ThreadPoolExecutor(MAX_CONCURRENCY) as pool:
        return list(pool.map(outcome, wanted))


def collect_own(
    collector: Collector, wanted: Iterable[Wanted], known: frozenset[str], place_of: Callable[[str], Place]
) -> list[Outcome]:
    """Read, renew and write the Secret of each cluster, whatever becomes of the others."""

    def outcome(one: Wanted) -> Outcome:
        try:
            place = place_of(one.name)
            (found,) = collect(collector, [one], None, place.read(), known)
            if found.renewed and not collector.dry_run:
                put(place, [found])
        except SetupError as error:
            return Outcome(one, str(error), failed=not one.suspended)
        return found

    with ThreadPoolExecutor(MAX_CONCURRENCY) as pool:
        return list(pool.map(outcome, wanted))


def _renewed(collector: Collector, wanted: Wanted, known: frozenset[str]) -> Outcome:
    if wanted.admin_context not in known and wanted.name not in collector.capi:
        raise no_context(wanted.admin_context, known, f"set --context {wanted.name}=<yours>")
    entry = collector.entry(wanted)
    try:
        access = parse_access(wanted.name, wanted.context, document_of({wanted.context: entry}))
    except ClusterError as error:  # runs use the same reader, and would refuse it, too
        raise SetupError(error.failure.detail) from None
    term = "would get a token" if collector.dry_run else _expiry(access.expires_at)
    return Outcome(wanted, f"{entry.cluster['server']}: {term}", entry, renewed=True)


def no_context(name: str, known: frozenset[str], remedy: str) -> SetupError:
    has = ", ".join(sorted(known)) or "none"
    return SetupError(f"no context {name} in your kubeconfig, which has: {has}; {remedy}")


def _expiry(expires_at: datetime | None) -> str:
    if expires_at is None:
        return "token whose expiry can't be read"
    short = "; the API server allows no longer one, so reports will warn" if _is_short(expires_at) else ""
    return f"token until {expires_at:%Y-%m-%d %H:%M} UTC{short}"


def _is_short(expires_at: datetime) -> bool:
    return expires_at - datetime.now(UTC) < WARN_BEFORE


def put(place: Place, outcomes: Iterable[Outcome]) -> None:
    entries = {one.wanted.context: one.entry for one in outcomes if one.entry}
    place.put(document_of(entries))


def lines(outcomes: list[Outcome]) -> Iterator[str]:
    width = max((len(one.wanted.name) for one in outcomes), default=0)
    for one in outcomes:
        mark = "✗" if one.failed else "✓" if one.entry else "-"
        yield f"{mark} {one.wanted.name:{width}}  {one.text}"
