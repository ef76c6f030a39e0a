"""Writes one Secret: check again, decide again where something has changed, apply, verify the outcome.

A private key exists here as long as `apply` runs.
"""

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from tasks.config.metadata import NOTHING_GIVEN, Metadata
from tasks.config.routes import RoutedCopy
from tasks.config.routing import Routing
from tasks.domain.annotations import FIELD_MANAGER, FINGERPRINT
from tasks.domain.errors import ClusterError
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import Action, Certificate, Change, Plan, Rejection, SecretRef, TargetSecret
from tasks.domain.reasons import Reason
from tasks.kube.client import ClusterClient
from tasks.kube.responses import OUTCOME_UNKNOWN
from tasks.kube.secret_manifest import tls_secret_manifest
from tasks.plan import ownership
from tasks.plan.decide import decide, must_read_first
from tasks.plan.observed import ObservedState
from tasks.plan.safety import ensure_safe_write
from tasks.plan.spec import SyncSpec
from tasks.source.check_failure import CheckFailed, unexpected_as_check_failure
from tasks.source.checks import Policy, check_secret
from tasks.source.further_keys import examine
from tasks.source.tls_secret import TLSSecret
from tasks.target.read import read_copy

MAX_REPLANS = 3
"""Maximum number of further attempts at one Secret, each after both sides were read again."""

ALTERED = "altered by the target's admission"
"""The value of the fingerprint annotation of such a copy."""


class SecretApplier:
    """Applies the Secrets of one cluster. Several threads may use it, each for Secrets of its own."""

    def __init__(
        self, source: ClusterClient | None, target: ClusterClient, spec: SyncSpec, observed: ObservedState
    ) -> None:
        """Without a client of OPS there is no second attempt: only `apply_once` may be called."""
        self._source, self._target, self._spec, self._observed = source, target, spec, observed
        self._known = spec.snapshot.by_name
        self._routing = Routing(spec.cluster)

    @cached_property
    def _routed(self) -> dict[SecretRef, RoutedCopy]:
        """Made only where a Secret has changed since the plan was made, or routes give metadata."""
        routed = self._spec.cluster.routed_copies(self._spec.snapshot.names, self._spec.explicit_certificate)
        return {one.target: one for one in routed if not one.refusal}

    def apply(self, secret: dict[str, Any] | None, change: Change) -> Change | None:
        """Write one Secret. After a conflict or an unknown outcome, read both sides again and decide anew.

        Returns the row as it turned out, or None where nothing is left to report. Raises ClusterError and
        UnsafePlan.
        """
        try:
            return self._check_and_apply(secret, change)
        except ClusterError as error:
            problem = error
        uncertain = False
        for number in range(MAX_REPLANS):
            code = problem.failure.code
            uncertain = uncertain or code in OUTCOME_UNKNOWN
            # A policy may forbid the write because the Secret has appeared meanwhile; one look tells.
            forbidden = code is FailureCode.FORBIDDEN and number == 0 and change.action is Action.CREATE
            if not forbidden and code not in OUTCOME_UNKNOWN | {FailureCode.CONFLICT}:
                raise problem
            current, now = self._read_both(change.target, problem)
            if forbidden and current is None:
                raise problem
            try:
                row = self._check_and_apply(now, change, again=True)
            except ClusterError as error:
                problem = error
                continue
            if uncertain and row and row.reason is Reason.IN_SYNC:  # so the earlier write took place
                return replace(change, applied=True, new=row.new)
            return row
        raise problem

    def apply_once(self, secret: dict[str, Any], change: Change) -> Change | None:
        """Like `apply`, without another attempt: what goes wrong is raised, whatever has been written."""
        return self._check_and_apply(secret, change)

    def _given(self, target: SecretRef) -> tuple[Metadata, frozenset[str]]:
        """The labels, annotations and further keys of this copy; most clusters have no route with any."""
        cluster = self._spec.cluster
        if not (cluster.given_metadata or cluster.further_keys):
            return NOTHING_GIVEN, frozenset()
        return self._routed[target].metadata, self._routed[target].keys

    def source_secret(self, name: str) -> dict[str, Any] | None:
        assert self._source
        return self._source.tls_secret(SecretRef(namespace=self._spec.config.source.namespace, name=name))

    def _read_both(
        self, target: SecretRef, problem: ClusterError
    ) -> tuple[TargetSecret | None, dict[str, Any] | None]:
        """What both sides hold now. Raises the error that led here where one of them can't be read."""
        try:
            current = self._target.target_secret(target)
            self._observed.update(target, current)
            return current, self.source_secret(self._routed[target].certificate)
        except ClusterError:
            raise problem from None

    def _check_and_apply(
        self, secret: dict[str, Any] | None, change: Change, *, again: bool = False
    ) -> Change | None:
        """Write what OPS has now: as planned if nothing has changed, else as the decision table says now."""
        tls = TLSSecret(secret or {})
        certificate = self._check_again(tls, secret, change) if secret else None
        if again or certificate != self._known[change.certificate]:
            decided = self._decide_again(change, certificate)
            if decided is None or not decided.writes:
                return decided
            change = decided
        if not isinstance(certificate, Certificate):
            return change
        current, owner = self._observed.secrets.get(change.target), self._spec.owner
        ensure_safe_write(change, self._routing, certificate, current, owner)
        try:
            self._apply(change, certificate, tls)
        except ClusterError as error:
            if error.failure.code is FailureCode.ALTERED:
                self._mark_altered(change, certificate, tls)
            raise
        return replace(change, applied=True)

    def _check_again(self, tls: TLSSecret, secret: dict[str, Any], change: Change) -> Certificate | Rejection:
        """The certificate of the plan, if the content is the same and valid; else what the checks find."""
        known, now = self._known[change.certificate], datetime.now(UTC)
        with suppress(CheckFailed), unexpected_as_check_failure():  # check_secret says why
            same = tls.fingerprint == known.version.fingerprint and examine(tls) == known.further
            if same and known.version.not_after > now:
                return known
        policy = Policy(now=now, allow_self_signed=self._spec.config.source.allow_self_signed)
        return check_secret(known.ref, secret, policy)

    def _decide_again(self, change: Change, source: Certificate | Rejection | None) -> Change | None:
        """Decide by the same table on what both sides hold now."""
        ref, owner, clock = change.target, self._spec.owner, datetime.now(UTC)
        want, hostnames = self._routed[ref], self._routing.hostnames

        def row() -> Change | None:
            return decide(want, source, self._observed.secrets.get(ref), hostnames, owner, clock)

        decided = row()
        if decided and must_read_first(Plan(cluster="", changes=(decided,)), self._observed.secrets):
            copy = self._observed.secrets[ref]
            self._observed.update(ref, read_copy(self._target, copy, self._spec.config.source))
            return row()
        return decided

    def _apply(self, change: Change, certificate: Certificate, tls: TLSSecret) -> None:
        body = self._manifest(change, certificate, tls)
        if change.uid and (change.extra_keys or change.extra_annotations):
            # A forced apply leaves in place what other managers added. So a patch removes it and sets the new
            # values; then the apply owns them. A kill in between leaves a copy that is Drifted.
            patch = self._manifest(change, certificate, tls)
            patch["data"] |= dict.fromkeys(change.extra_keys)
            patch["metadata"]["annotations"] |= dict.fromkeys(change.extra_annotations)
            made = self._target.replace(change.target, patch, uid=change.uid, field_manager=FIELD_MANAGER)
            body["metadata"]["resourceVersion"] = made.resource_version
        written = self._target.apply(change.target, body, uid=change.uid, field_manager=FIELD_MANAGER)
        if self._observed.is_kept:
            self._observed.update(change.target, written.target_secret())

    def _mark_altered(self, change: Change, certificate: Certificate, tls: TLSSecret) -> None:
        """Record on a copy that it does not hold what we sent, so that it never counts as in sync."""
        with suppress(ClusterError):  # Altered again, if nothing else
            current = self._target.target_secret(change.target)
            if current and ownership.is_ours(current, self._spec.owner):
                bound = replace(change, uid=current.uid, resource_version=current.resource_version)
                body = self._manifest(bound, certificate, tls)
                body["metadata"]["annotations"][FINGERPRINT] = ALTERED
                self._target.apply(change.target, body, uid=current.uid, field_manager=FIELD_MANAGER)

    def _manifest(self, change: Change, certificate: Certificate, tls: TLSSecret) -> dict[str, Any]:
        """Return a Secret with our and the route's metadata and the data, and nothing else of the source."""
        given, keys = self._given(change.target)
        return tls_secret_manifest(
            change.target,
            tls.data_with(keys),
            labels=given.labels | ownership.labels(self._spec.config.owner),
            annotations=given.annotations
            | ownership.metadata_record(given)
            | ownership.annotations(certificate, keys)
            | ownership.source_cluster_annotation(self._spec.owner),
            existing=(change.uid, str(change.resource_version)) if change.uid else None,
        )
