"""Carries out the writes of one plan: a page of OPS's Secrets at a time, in several threads, one Secret each.

A private key exists here from the response of OPS until the targets of that page have it.
"""

import threading
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tasks.domain.errors import ClusterError, internal_error
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import Change, Failure, Plan, SecretRef
from tasks.kube.client import ClusterClient
from tasks.kube.responses import name_of
from tasks.kubeconfig.reader import MAX_CONNECTIONS
from tasks.plan.observed import ObservedState
from tasks.plan.safety import UnsafePlan
from tasks.plan.spec import SyncSpec
from tasks.runtime import shutdown
from tasks.source.read import LIST_FROM_SHARE
from tasks.target.apply import SecretApplier
from tasks.target.shared_list import shared_pages

MAX_FAILURES = 3
"""Number of failures in a row after which no further write is sent to an API server."""

SERVER_FAILURES = frozenset(
    {FailureCode.UNREACHABLE, FailureCode.CONNECTION_LOST, FailureCode.TIMEOUT, FailureCode.THROTTLED}
)

Outcome = tuple[SecretRef, Change | None, Failure | None]
"""The target, its row if one is left to report, and what went wrong."""


class Writer:
    """Carries out the writes of one plan in one cluster."""

    def __init__(
        self, source: ClusterClient, target: ClusterClient, spec: SyncSpec, observed: ObservedState
    ) -> None:
        self._source, self._spec, self._size = source, spec, spec.snapshot.size
        self._applier, self._breaker = SecretApplier(source, target, spec, observed), CircuitBreaker()
        self._stopped = shutdown.current().requested

    def write(self, plan: Plan) -> tuple[tuple[Change, ...], list[Failure]]:
        """Return all rows of the plan as they turned out, and the failures."""
        wanted: dict[str, list[Change]] = defaultdict(list)
        for change in plan.writes:
            wanted[change.certificate].append(change)
        outcomes: dict[SecretRef, Change | None] = {change.target: change for change in plan.writes}
        failures: list[Failure] = []
        try:
            for target, outcome, failure in self._write(wanted):
                outcomes[target] = outcome
                failures += [failure] if failure else []
        except ClusterError as error:  # OPS could not be read to the end; what was written is reported
            failures.append(error.failure)
        ended = (outcomes[change.target] if change.writes else change for change in plan.changes)
        rows = tuple(change for change in ended if change)
        left = sum(row.writes and not row.applied for row in rows)
        if left and self._stopped.is_set():
            failures.append(
                self._failure(FailureCode.INTERRUPTED, f"write {left} of {len(plan.writes)} secrets")
            )
        return rows, failures

    def _write(self, wanted: dict[str, list[Change]]) -> Iterator[Outcome]:
        missing = set(wanted)
        with ThreadPoolExecutor(MAX_CONNECTIONS) as pool:
            for page in self._pages(tuple(wanted)):
                present = [(secret, wanted[name]) for secret in page if (name := name_of(secret)) in missing]
                page.clear()  # else its keys stay in memory while the next page is read
                missing -= {name_of(secret) for secret, _ in present}
                pairs = iter(present)
                threads = min(len(present), MAX_CONNECTIONS)
                for sent in [pool.submit(self._apply_each, pairs) for _ in range(threads)]:
                    yield from sent.result()
                present.clear()
        for name in missing:
            yield from self._apply_all(None, wanted[name])

    def _pages(self, names: tuple[str, ...]) -> Iterator[list[dict[str, Any]]]:
        """The Secrets of these names on OPS: from one list where many are needed, else one by one."""
        source = self._spec.config.source
        if self._needs_list(names):
            names = yield from shared_pages(self._spec, names, self._source.deadline)
        else:
            self._spec.memory.gathering.drop(self._spec.cluster.name)
        if self._needs_list(names):
            yield from self._source.tls_secrets(source.namespace, source.selector)
            return
        for name in names:
            secret = self._applier.source_secret(name)
            yield [secret] if secret else []

    def _needs_list(self, names: tuple[str, ...]) -> bool:
        return len(names) > 1 and len(names) >= LIST_FROM_SHARE * self._size

    def _apply_each(self, pairs: Iterator[tuple[dict[str, Any], list[Change]]]) -> list[Outcome]:
        """The threads share the iterator: a future per Secret takes a tenth of the CPU of its write."""
        return [outcome for secret, changes in pairs for outcome in self._apply_all(secret, changes)]

    def _apply_all(self, secret: dict[str, Any] | None, changes: list[Change]) -> list[Outcome]:
        return [self._apply(secret, change) for change in changes]

    def _apply(self, secret: dict[str, Any] | None, change: Change) -> Outcome:
        if self._breaker.is_open or self._stopped.is_set():
            return change.target, change, None
        what = f"write secret {change.target}"
        try:
            outcome = self._applier.apply(secret, change)
        except ClusterError as error:
            self._breaker.record(error.failure.code)
            return change.target, change, error.failure
        except UnsafePlan as error:
            return change.target, change, self._failure(FailureCode.UNSAFE_PLAN, what, str(error))
        except Exception as error:  # noqa: BLE001  its text could hold a key; the other rows are still reported
            return change.target, change, internal_error(self._spec.cluster.name, what, error)
        self._breaker.record(None)
        return change.target, outcome, None

    def _failure(self, code: FailureCode, what: str, detail: str = "") -> Failure:
        return Failure(code=code, cluster=self._spec.cluster.name, what=what, detail=detail)


class CircuitBreaker:
    """Stops the writes to a cluster whose API server has failed several times in a row.

    A failure of one object (a webhook of one namespace, a conflict) does not count.
    """

    def __init__(self) -> None:
        self._lock, self._failures = threading.Lock(), 0

    @property
    def is_open(self) -> bool:
        return self._failures >= MAX_FAILURES

    def record(self, code: FailureCode | None) -> None:
        with self._lock:
            if code is None:
                self._failures = 0
            elif code in SERVER_FAILURES:
                self._failures += 1
