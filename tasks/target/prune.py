"""Deletes copies in one cluster, and records on others that their certificate is gone. plan/prune.py decides.

Before each deletion, it asks OPS for the source by name. So an incomplete list, a changed selector or a
certificate that has just come back deletes nothing. No key is read.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from tasks.domain import annotations
from tasks.domain.errors import ClusterError, internal_error
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import Change, ClusterReport, Failure, SecretRef
from tasks.kube.client import ClusterClient
from tasks.kube.identity import identify_ops
from tasks.kube.pool import client_of_source, client_of_target
from tasks.kube.responses import MALFORMED, OUTCOME_UNKNOWN, name_of
from tasks.plan import ownership
from tasks.plan.orphans import clock_of
from tasks.plan.prune import PrunePlan, at_target_time, ensure_safe_prune, with_outcome
from tasks.plan.safety import UnsafePlan
from tasks.plan.spec import SyncSpec
from tasks.runtime import shutdown
from tasks.target.identity import verify_identity

MAX_SECONDS = 60.0
"""Maximum time for one cluster. The next run does what is left."""
HOW_TO_ALLOW = (
    "where its Role or its admission policy is older than `prune: true`, apply what "
    "`tls-sync rights manifests` prints; another policy may bar it, too; after the crash of one "
    "of several API servers, a deletion waits for two hours at most"
)


def prune(spec: SyncSpec, plan: PrunePlan, report: ClusterReport, newer: str) -> ClusterReport:
    """The report, with what was deleted and recorded. A dry run asks OPS as well, and changes nothing.

    `newer` is what `copies_newer_than_ops` says of all clusters. Expected failures are in the report.
    """
    work = _Work(spec, plan, report, newer)
    try:
        work.carry_out()
    except ClusterError as error:
        work.failures.append(error.failure)
    except UnsafePlan as error:
        name, what = spec.cluster.name, "check what is to be deleted"
        work.failures.append(
            Failure(code=FailureCode.UNSAFE_PLAN, cluster=name, what=what, detail=str(error))
        )
    except Exception as error:  # noqa: BLE001  its text could hold anything, so it ends here
        work.failures.append(internal_error(spec.cluster.name, "prune", error))
    return with_outcome(report, work.done, work.failures)


class _Work:
    def __init__(self, spec: SyncSpec, plan: PrunePlan, report: ClusterReport, newer: str) -> None:
        self._spec, self._report, self._newer = spec, report, newer
        self._planned = plan._replace(records=(), cleared=()) if spec.dry_run else plan
        self.done = list(plan.deferred)
        self.failures = list(plan.failures)

    def carry_out(self) -> None:
        if not self._planned.rows:
            return
        deadline = time.monotonic() + MAX_SECONDS
        with client_of_target(self._spec.config, self._spec.cluster, deadline) as target:
            plan = self._at_target_time(target)
            for row in (*plan.records, *plan.cleared):
                self._try(partial(self._record, target, row))
            if plan.deletes:
                with client_of_source(self._spec.config.source, deadline) as source:
                    wanted = self._prove(source)
                    for row in plan.deletes:
                        self._try(partial(self._delete, source, target, row, wanted))

    def _at_target_time(self, target: ClusterClient) -> PrunePlan:
        """The plan by the target's clock. Raises ClusterError and UnsafePlan."""
        verify_identity(target, self._spec, datetime.now(UTC))
        clock = clock_of(target.server_time, datetime.now(UTC))
        plan = at_target_time(self._planned, clock, self._spec.config.source.namespace)
        self.done = list(plan.deferred)
        if not self._spec.dry_run:
            ensure_safe_prune(plan, self._spec, self._report, self._newer, clock)
        return plan

    def _try(self, step: Callable[[], Change]) -> None:
        """Change one Secret; its failure concerns no other. After a conflict, the next run looks again."""
        if shutdown.current().requested.is_set():
            return
        try:
            self.done.append(step())
        except ClusterError as error:
            if error.failure.code not in (FailureCode.CONFLICT, FailureCode.NOT_FOUND):
                self.failures.append(error.failure)

    def _prove(self, source: ClusterClient) -> frozenset[str]:
        """Verify that this is OPS, and that it shows us all Secrets.

        Returns the names of the Secrets that cert-manager is to write. Raises ClusterError.
        """
        about, what = self._spec.config.source, "prove what is gone"
        found, _ = identify_ops(source, about, datetime.now(UTC))
        if not about.cluster_id or found != self._spec.snapshot.cluster_id:
            raise ClusterError(Failure(code=FailureCode.WRONG_CLUSTER, cluster=about.label, what=what))
        if not source.can_i("list", about.namespace):
            raise ClusterError(Failure(code=FailureCode.FORBIDDEN, cluster=about.label, what=what))
        try:
            pages = list(source.certificates(about.namespace))
        except ClusterError as error:
            if (
                error.failure.code is FailureCode.API_MISSING
            ):  # no cert-manager there: the Secrets alone decide
                return frozenset()
            raise
        return frozenset(self._secret_of(item) for page in pages for item in page)

    def _secret_of(self, certificate: dict[str, Any]) -> str:
        """The name of the Secret that a Certificate is for. Raises ClusterError where it can't be read."""
        try:
            name = certificate["spec"]["secretName"]
        except MALFORMED:
            name = None
        if not isinstance(name, str):
            about, what = self._spec.config.source, "prove what is gone"
            detail = f"Certificate {name_of(certificate) or 'without a name'} can't be read"
            raise ClusterError(
                Failure(code=FailureCode.PRUNE_REFUSED, cluster=about.label, what=what, detail=detail)
            )
        return name

    def _delete(
        self, source: ClusterClient, target: ClusterClient, row: Change, wanted: frozenset[str]
    ) -> Change:
        ref = SecretRef(namespace=self._spec.config.source.namespace, name=row.certificate)
        if row.certificate in wanted:
            raise self._refusal(row, "OPS has a Certificate for it")
        if source.target_secret(ref) is not None:
            raise self._refusal(row, "OPS has its source, though no list showed it")
        return row if self._spec.dry_run else _deleted(target, row)

    def _refusal(self, row: Change, detail: str) -> ClusterError:
        name, what = self._spec.cluster.name, f"delete secret {row.target}"
        return ClusterError(Failure(code=FailureCode.PRUNE_REFUSED, cluster=name, what=what, detail=detail))

    @staticmethod
    def _record(target: ClusterClient, row: Change) -> Change:
        record = dict.fromkeys(annotations.ORPHAN_MARKS) | (
            ownership.orphan_annotations(row.absence) if row.absence else {}
        )
        try:
            target.annotate(
                row.target,
                record,
                uid=str(row.uid),
                version=str(row.resource_version),
                field_manager=annotations.PRUNE_MANAGER,
            )
        except ClusterError as error:
            raise _with_remedy(error) from None
        return row


def _with_remedy(error: ClusterError) -> ClusterError:
    """The error; where the target forbids the change, with what to do."""
    if error.failure.code is not FailureCode.FORBIDDEN:
        return error
    return ClusterError(error.failure.model_copy(update={"detail": HOW_TO_ALLOW}))


def _deleted(target: ClusterClient, row: Change) -> Change:
    """Delete the copy; it counts as deleted, too, where the answer was lost and it is gone."""
    try:
        target.delete(row.target, uid=str(row.uid), version=str(row.resource_version))
    except ClusterError as error:
        if error.failure.code is FailureCode.FORBIDDEN:
            raise _with_remedy(error) from None
        if error.failure.code is FailureCode.NOT_FOUND:
            pass
        elif error.failure.code not in OUTCOME_UNKNOWN:
            raise
        else:
            now = target.target_secret(row.target)
            if now and now.uid == row.uid and not now.terminating:
                raise
    return replace(row, applied=True)
