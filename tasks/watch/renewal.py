"""Copies one changed certificate to one cluster, by what the watcher remembers of that cluster.

The plan, its checks and the write are those of a run. Where memory leaves a doubt, or anything goes wrong,
the cluster is looked at as in a run (target/sync.py), whose report tells what happened.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar

from tasks.domain.errors import ClusterError
from tasks.domain.models import Action, Certificate, Change, ClusterReport, Plan, SecretRef, SourceSnapshot
from tasks.domain.reasons import Reason
from tasks.kube.client import ClusterClient
from tasks.kube.pool import client_of_target
from tasks.kube.responses import OUTCOME_UNKNOWN
from tasks.kubeconfig.reader import MAX_CONNECTIONS
from tasks.plan.decide import make_plan
from tasks.plan.note import changed_notes
from tasks.plan.observed import ObservedState
from tasks.plan.safety import UnsafePlan, ensure_safe
from tasks.plan.spec import SyncSpec
from tasks.target.apply import SecretApplier
from tasks.target.identity import verify_identity
from tasks.target.notes import write_notes
from tasks.target.remembered import Look, RememberedCluster
from tasks.target.sync import permitted, sync
from tasks.watch.timings import DEFAULT, WatchTimings

T = TypeVar("T")
CERTAIN = frozenset(
    {
        Reason.MISSING_ON_TARGET,
        Reason.CERTIFICATE_RENEWED,
        Reason.SOURCE_CHANGED,
        Reason.KEYS_CHANGED,
    }
)
"""The reasons for a write that need no look: the server refuses it where the target has changed meanwhile."""


class Doubt(Exception):
    """What is remembered does not tell what to do."""


class Planned(NamedTuple):
    spec: SyncSpec
    """With a snapshot of this certificate only."""
    plan: Plan
    observed: ObservedState


@dataclass(frozen=True)
class Renewal:
    """`spec` is about one certificate, or, for a look only, about all."""

    spec: SyncSpec
    remembered: RememberedCluster
    deadline: float
    """A moment of time.monotonic()."""
    timings: WatchTimings = DEFAULT

    def look(self) -> ClusterReport:
        """Bring the cluster in sync as a run does, and remember what was found there."""
        began, look = time.monotonic(), Look(ObservedState(is_kept=True))
        report = sync(self.spec, self.deadline, look)
        if report.failures or report.lacks:
            self.remembered.forget()
        else:
            self.remembered.keep(look, began)
        return report

    @property
    def needs_preparation(self) -> bool:
        identified, missing = self._unverified(self._oldest(self._creates()))
        return not identified or bool(missing)

    def prepare(self) -> None:
        """Verify again who we are, which cluster it is and what we may do, where that is too old.

        All requests are side by side, and none depends on OPS. Raises ClusterError.
        """
        began, oldest = time.monotonic(), self._oldest(self._creates())
        identified, namespaces = self._unverified(oldest)
        warnings: tuple[str, ...] | None = None
        with (
            client_of_target(self.spec.config, self.spec.cluster, self.deadline) as target,
            ThreadPoolExecutor(MAX_CONNECTIONS - 1) as pool,
        ):
            reviews = [pool.submit(target.permissions, one) for one in namespaces]
            if not identified:
                warnings = tuple(verify_identity(target, self.spec, datetime.now(UTC), pool))
            rights = {one: review.result() for one, review in zip(namespaces, reviews, strict=True)}
            credential = target.credential_version
        self.remembered.confirm(began, warnings, rights, credential)

    def write(self, secret: dict[str, Any] | None, prepared: Future[None] | None) -> ClusterReport:
        """Write the Secret that was read from OPS; if that can't be done by memory, look at the cluster.

        The private key is in memory here until the cluster has answered or the deadline has passed.
        """
        attempted: list[Change] = []
        try:
            if prepared:
                prepared.result()
            return self._write(secret, attempted)
        except (ClusterError, Doubt, UnsafePlan):
            return _credited(self.look(), attempted)

    def _write(self, secret: dict[str, Any] | None, attempted: list[Change]) -> ClusterReport:
        planned, cluster = self._plan(), self.spec.cluster
        writes = planned.plan.writes
        if not writes:
            return ClusterReport(
                cluster=cluster.name, changes=planned.plan.changes, warnings=self.remembered.warnings
            )
        if secret is None:
            raise Doubt
        warnings = [*self.remembered.warnings, *self._check_rights(planned)]
        with client_of_target(self.spec.config, cluster, self.deadline) as target:
            if not self.remembered.is_identified_by(target.credential_version):
                raise Doubt
            self._apply(target, planned, secret, attempted)
            expires_at = target.credential_expires_at
        applied = {row.target: row for row in attempted}
        return ClusterReport(
            cluster=cluster.name,
            changes=tuple(applied.get(row.target, row) for row in planned.plan.changes),
            warnings=tuple(warnings),
            credential_ends=expires_at,
        )

    def note(self) -> None:
        """Write the notes of the copies that are in sync by memory, so that no run reads keys for them.

        Raises ClusterError, Doubt and UnsafePlan. What could not be written is left to a run.
        """
        planned = self._plan()
        known = planned.observed.secrets
        notes = tuple(changed_notes(planned.plan, planned.spec.snapshot, known, planned.spec.rules))
        if not notes:
            return
        with client_of_target(self.spec.config, self.spec.cluster, self.deadline) as target:
            write_notes(target, notes, planned.observed)
        for copy, _ in notes:
            self.remembered.update(copy, known[copy.ref], time.monotonic())

    def _plan(self) -> Planned:
        """The plan of a run, from memory. Raises Doubt and UnsafePlan."""
        cluster, name = self.spec.cluster, str(self.spec.certificate)
        entry = self.spec.snapshot.entries.get(name)
        if cluster.selectors_of(name) or not isinstance(entry, Certificate):
            raise Doubt  # which namespaces have the label, only the target tells
        known = self.spec.snapshot
        snapshot = SourceSnapshot(
            certificates=(entry,), cluster_id=known.cluster_id, requests_unread=known.requests_unread
        )
        observed = self.remembered.observed(self._targets(snapshot), name)
        if not observed.namespaces.issuperset(self._namespaces):
            raise Doubt
        if self._collides(name):
            raise Doubt
        plan = make_plan(
            cluster,
            snapshot,
            observed.secrets.values(),
            owner=self.spec.owner,
            now=datetime.now(UTC),
            certificate=name,
            explicit=False,
        )
        if not all(map(self._is_certain, plan.changes)):
            raise Doubt
        ensure_safe(plan, cluster, snapshot, observed.secrets.values(), self.spec.owner)
        return Planned(replace(self.spec, snapshot=snapshot), plan, observed)

    def _is_certain(self, change: Change) -> bool:
        """Whether memory is enough for this row: a write that the server refuses if memory is outdated.

        A copy counts as in sync for some minutes after it was seen; after that it might have been edited.
        """
        if change.writes:
            return change.reason in CERTAIN
        return change.reason is Reason.IN_SYNC and self.remembered.is_seen_since(
            change.target, time.monotonic() - self.timings.identity_max_age
        )

    def _check_rights(self, planned: Planned) -> list[str]:
        """Return warnings. Raises Doubt where identity or rights are too old, or a right is missing."""
        plan, warnings = planned.plan, list[str]()
        oldest = self._oldest(any(row.action is Action.CREATE for row in plan.writes))
        identified, missing = self._unverified(oldest)
        if missing or not identified:
            raise Doubt
        rights = self.remembered.rights_since(self._namespaces, oldest)
        if permitted(self.spec.cluster, plan, rights, planned.observed, warnings) != plan:
            raise Doubt
        return warnings

    def _apply(
        self, target: ClusterClient, planned: Planned, secret: dict[str, Any], attempted: list[Change]
    ) -> None:
        """Make all writes side by side; add those that took place, or may have, to `attempted`."""
        applier = SecretApplier(None, target, planned.spec, planned.observed)

        def apply(change: Change) -> ClusterError | UnsafePlan | Doubt | None:
            try:
                row = applier.apply_once(secret, change)
            except ClusterError as error:
                attempted.extend([replace(change, applied=True)] * (error.failure.code in OUTCOME_UNKNOWN))
                return error
            except UnsafePlan as error:
                return error
            if row is None or not row.applied:
                return Doubt()
            attempted.append(row)
            return None

        writes = planned.plan.writes
        problems = _side_by_side(apply, writes)
        written = [row.target for row, problem in zip(writes, problems, strict=True) if not problem]
        self.remembered.record(written, planned.observed, time.monotonic())
        for problem in filter(None, problems):
            raise problem

    @property
    def _namespaces(self) -> tuple[str, ...]:
        """The namespaces to which the certificate is sent."""
        return self.spec.cluster.namespaces_of(self.spec.certificate)

    def _targets(self, snapshot: SourceSnapshot) -> list[SecretRef]:
        return [one.target for one in self.spec.cluster.routed_copies(snapshot.names)]

    def _collides(self, name: str) -> bool:
        """Whether another certificate of OPS has a copy of the same name, as far as placeholders tell."""
        return self.spec.cluster.collides(name, self.spec.snapshot.names)

    def _creates(self) -> bool:
        """Whether a copy is missing, as far as is known."""
        copies = self.spec.cluster.copies_of(str(self.spec.certificate))
        return not all(self.remembered.holds(one.target) for one in copies)

    def _oldest(self, creates: bool) -> float:
        """When identity and rights must have been verified at the earliest."""
        timings = self.timings
        return time.monotonic() - (timings.identity_max_age_create if creates else timings.identity_max_age)

    def _unverified(self, oldest: float) -> tuple[bool, list[str]]:
        """Whether the identity was verified since then, and the namespaces where our rights were not."""
        known = self.remembered.rights_since(self._namespaces, oldest)
        missing = [one for one in self._namespaces if one not in known]
        return self.remembered.is_identified_since(oldest), missing


def _side_by_side(apply: Callable[[Change], T], changes: Sequence[Change]) -> list[T]:
    if len(changes) == 1:
        return [apply(changes[0])]
    with ThreadPoolExecutor(MAX_CONNECTIONS) as pool:
        return list(pool.map(apply, changes))


def _credited(report: ClusterReport, attempted: Sequence[Change]) -> ClusterReport:
    """The report of a look, with the writes that an attempt before it has made: the look finds them done."""
    made = {row.target: row for row in attempted}
    changes = tuple(
        made[row.target] if row.target in made and row.reason is Reason.IN_SYNC else row
        for row in report.changes
    )
    return report.model_copy(update={"changes": changes}) if made else report
