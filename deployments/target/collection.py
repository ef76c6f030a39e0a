"""Collects a credential for each cluster of the configuration, and puts all of them into one kubeconfig."""

import json
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

from deployments.target.document import Document, Entry, document_of, entries_of
from deployments.target.errors import TargetError
from deployments.target.kubectl import Kubectl
from deployments.target.places import Place
from tasks.config.schema import SyncConfig
from tasks.domain.errors import ClusterError
from tasks.domain.names import UID
from tasks.kubeconfig.expiry import WARN_BEFORE
from tasks.kubeconfig.reader import parse_access

ACCOUNT = "tls-sync"
"""Of the ServiceAccount and its namespace, on each cluster."""

_SIDE_BY_SIDE = 8


@dataclass(frozen=True)
class Wanted:
    """A cluster that the kubeconfig is to lead to."""

    name: str
    context: str
    """As the configuration calls it."""
    admin_context: str
    """As the operator's kubeconfig calls it."""
    server: str = ""
    """In place of the address in the operator's kubeconfig, which may be good on their machine only."""
    cluster_id: str | None = None
    """Which cluster it must be."""
    expendable: bool = False
    """Suspended: that it can't be had is no failure."""


@dataclass(frozen=True)
class Outcome:
    wanted: Wanted
    text: str
    entry: Entry | None = None
    """What goes into the kubeconfig."""
    renewed: bool = False
    failed: bool = False


@dataclass(frozen=True)
class Asker:
    """How the operator's kubectl is asked, and for how long a token."""

    kubeconfig: str | None
    duration: str
    dry_run: bool = False
    account: str = ACCOUNT

    def contexts(self) -> frozenset[str]:
        return Kubectl(kubeconfig=self.kubeconfig).contexts()

    def entry(self, wanted: Wanted) -> Entry:
        kubectl = Kubectl(wanted.admin_context, self.kubeconfig)
        # The cluster's part alone: the operator's own credential does not leave kubectl.
        part = "--output=jsonpath={.clusters[0].cluster}"
        shown = kubectl.run("config", "view", "--raw", "--minify", "--flatten", part)
        try:
            cluster = {**json.loads(shown)}
        except (TypeError, ValueError):
            raise TargetError(
                f"context {wanted.admin_context} of your kubeconfig has no cluster; look at it"
            ) from None
        if wanted.server:
            cluster["server"] = wanted.server
        self._verify(kubectl, wanted)
        if self.dry_run:
            return Entry(cluster, {"token": "none"})
        asked = (f"--namespace={self.account}", f"--duration={self.duration}")
        return Entry(cluster, {"token": kubectl.run("create", "token", self.account, *asked).strip()})

    def _verify(self, kubectl: Kubectl, wanted: Wanted) -> None:
        """A token of another cluster would be found out by the next run only."""
        if not wanted.cluster_id:
            return
        found = kubectl.run("get", "namespace", "kube-system", "--output=jsonpath={.metadata.uid}")
        if found != wanted.cluster_id:
            remedy = "correct the context"
            if UID.fullmatch(found):
                remedy = f"set clusterId: {found}, or {remedy}"
            raise TargetError(
                f"your context {wanted.admin_context} leads to another cluster than the pinned one; {remedy}"
            )


def wanted_of(
    config: SyncConfig, ops_context: str | None, contexts: Mapping[str, str], servers: Mapping[str, str]
) -> tuple[Wanted, ...]:
    """The targets, and OPS where the configuration has a context for it."""
    clusters = [(one.name, one.context, one.cluster_id, one.suspended) for one in config.clusters]
    if config.source.context:
        contexts = {config.source.label: ops_context or config.source.context} | dict(contexts)
        clusters.insert(0, (config.source.label, config.source.context, None, False))
    known = [name for name, *_ in clusters]
    for name in {*contexts, *servers} - set(known):
        raise TargetError(f"{name}: no such cluster in the configuration; known are: {', '.join(known)}")
    return tuple(
        Wanted(name, context, contexts.get(name, context), servers.get(name, ""), cluster_id, suspended)
        for name, context, cluster_id, suspended in clusters
    )


def collect(
    asker: Asker, wanted: Iterable[Wanted], only: str | None, former: Document | None
) -> list[Outcome]:
    """What becomes of each cluster; what can't be renewed now keeps what it had."""
    held, known = entries_of(former), asker.contexts()

    def outcome(one: Wanted) -> Outcome:
        before = held.get(one.context)
        if only not in (None, one.name) or (before and before.is_renewed_elsewhere):
            return Outcome(one, "kept as it was" if before else "left out", before)
        try:
            return _renewed(asker, one, known)
        except TargetError as error:
            kept = "keeps its former credential" if before else "left out"
            return Outcome(one, f"{error}; {kept}", before, failed=not one.expendable)

    with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
        return list(pool.map(outcome, wanted))


def _renewed(asker: Asker, wanted: Wanted, known: frozenset[str]) -> Outcome:
    if wanted.admin_context not in known:
        raise no_context(wanted.admin_context, known, f"say --context {wanted.name}=<yours>")
    entry = asker.entry(wanted)
    try:
        access = parse_access(wanted.name, wanted.context, document_of({wanted.context: entry}))
    except ClusterError as error:  # the reader that runs use: what it refuses would be of no use
        raise TargetError(error.failure.detail) from None
    term = "would get a token" if asker.dry_run else _term(access.expires_at)
    return Outcome(wanted, f"{entry.cluster['server']}: {term}", entry, renewed=True)


def no_context(name: str, known: frozenset[str], remedy: str) -> TargetError:
    has = ", ".join(sorted(known)) or "none"
    return TargetError(f"no context {name} in your kubeconfig, which has: {has}; {remedy}")


def _term(ends: datetime | None) -> str:
    if ends is None:
        return "token without an end that can be read"
    short = "; the API server grants no more, so reports will warn" if _is_short(ends) else ""
    return f"token until {ends:%Y-%m-%d %H:%M} UTC{short}"


def _is_short(ends: datetime) -> bool:
    return ends - datetime.now(UTC) < WARN_BEFORE


def put(place: Place, outcomes: Iterable[Outcome]) -> None:
    entries = {one.wanted.context: one.entry for one in outcomes if one.entry}
    place.put(document_of(entries))


def lines(outcomes: list[Outcome]) -> Iterator[str]:
    width = max((len(one.wanted.name) for one in outcomes), default=0)
    for one in outcomes:
        mark = "✗" if one.failed else "✓" if one.entry else "-"
        yield f"{mark} {one.wanted.name:{width}}  {one.text}"
