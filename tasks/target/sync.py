"""Brings one cluster in sync: list, plan, check, write. Plain functions; the task is sync_cluster.py."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime

from tasks.config.schema import Cluster
from tasks.domain.errors import ClusterError
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import Change, ClusterReport, Failure, Plan, SecretRef, TargetSecret
from tasks.kube.client import ClusterClient
from tasks.kube.permissions import needed
from tasks.kube.pool import client_of_source, client_of_target
from tasks.kubeconfig.reader import CONNECTIONS
from tasks.plan.decide import downgrades, make_plan, unread
from tasks.plan.observed import ObservedState
from tasks.plan.orphans import clock_of, with_prune_forecast
from tasks.plan.safety import UnsafePlan, ensure_safe
from tasks.plan.spec import SyncSpec
from tasks.plan.waves import failure_of, urgent
from tasks.source.read import recheck
from tasks.target.identity import verify_identity
from tasks.target.read import read_copy
from tasks.target.write import Writer


def deliver(order: SyncSpec, deadline: float) -> ClusterReport:
    """Bring a cluster in sync and say what really happened. Expected failures are in the report.

    `deadline` is a moment of time.monotonic(), after which no request is made.
    """
    cluster, ends = order.cluster, None
    try:
        with client_of_target(cluster, deadline) as target:
            ends = target.credential_ends
            report = _deliver_to(target, order, ObservedState())
    except ClusterError as error:
        report = ClusterReport(cluster=cluster.name, dry_run=order.dry_run, failures=(error.failure,))
    return report.model_copy(update={"credential_ends": ends})


def preview(order: SyncSpec, deadline: float) -> tuple[ClusterReport, ObservedState]:
    """What a dry run says of a cluster, and what it saw there; the view is empty where it could not end."""
    cluster, view = order.cluster, ObservedState()
    try:
        with client_of_target(cluster, deadline) as target:
            return _deliver_to(target, replace(order, dry_run=True), view), view
    except ClusterError as error:
        return ClusterReport(cluster=cluster.name, dry_run=True, failures=(error.failure,)), ObservedState()


def _deliver_to(target: ClusterClient, order: SyncSpec, view: ObservedState) -> ClusterReport:
    warnings = verify_identity(target, order, datetime.now(UTC))
    _list_namespaces(target, order.namespaces, view)
    order, plan = _decide(target, order, view)
    plan = with_prune_forecast(plan, order, clock_of(target.server_time, datetime.now(UTC)))
    _ensure_safe(plan, order, view)
    changes, failures = plan.changes, view.failures
    to_do = _hold_back(plan, order, view)
    if to_do.writes and not order.dry_run:
        allowed = _review_rights(target, order.cluster, to_do, view, warnings)
        changes, more = _write(target, order, allowed, view)
        told = {change.target for change in allowed.changes}  # by row, 1,000 would take a second
        changes += tuple(change for change in plan.changes if change.target not in told)
        failures += more
    return ClusterReport(
        cluster=order.cluster.name,
        dry_run=order.dry_run,
        changes=changes,
        failures=tuple(failures),
        warnings=tuple(warnings),
    )


def _failure(cluster: Cluster, code: FailureCode, what: str, detail: str) -> Failure:
    return Failure(code=code, cluster=cluster.name, what=what, detail=detail)


def _list_namespaces(target: ClusterClient, namespaces: Iterable[str], view: ObservedState) -> None:
    """A namespace that may not be listed costs its own certificates; a cluster in trouble costs all."""

    def list_one(namespace: str) -> list[TargetSecret] | Failure:
        try:
            return target.target_secrets(namespace)
        except ClusterError as error:
            if error.failure.transient:
                raise
            return error.failure

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        for namespace, answer in zip(namespaces, pool.map(list_one, namespaces), strict=True):
            if isinstance(answer, Failure):
                view.failures.append(answer)
            else:
                view.add(namespace, answer)


def _decide(target: ClusterClient, order: SyncSpec, view: ObservedState) -> tuple[SyncSpec, Plan]:
    """The plan; made anew where a target has a newer certificate, with what OPS has by now."""
    plan = _plan(target, order, view)
    names = downgrades(plan)
    if not names:
        return order, plan
    order = _look_at_ops_again(target, order, names, view)
    return order, _plan(target, order, view)


def _plan(target: ClusterClient, order: SyncSpec, view: ObservedState) -> Plan:
    """The plan, for which copies are read whose metadata doesn't tell whether they may be replaced."""
    plan = _make_plan(order, view)
    doubtful = unread(plan, view.secrets)
    _read_copies(target, doubtful, order, view)
    return _make_plan(order, view) if doubtful else plan


def _make_plan(order: SyncSpec, view: ObservedState) -> Plan:
    plan = make_plan(
        order.cluster,
        order.inventory,
        view.secrets.values(),
        owner=order.owner,
        now=datetime.now(UTC),
        certificate=order.certificate,
        asked=order.asked,
    )
    return view.cover(plan)


def _read_copies(
    target: ClusterClient, refs: tuple[SecretRef, ...], order: SyncSpec, view: ObservedState
) -> None:
    """One that may not be read costs itself alone; a cluster in trouble costs all."""

    def read_one(ref: SecretRef) -> TargetSecret | Failure | None:
        try:
            return read_copy(target, view.secrets[ref], order.config.source)
        except ClusterError as error:
            if error.failure.transient:
                raise
            return error.failure

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        for ref, answer in zip(refs, pool.map(read_one, refs), strict=True):
            if isinstance(answer, Failure):
                view.unknown.add(ref)
                view.failures.append(answer)
            else:
                view.see(ref, answer)


def _look_at_ops_again(
    target: ClusterClient, order: SyncSpec, names: frozenset[str], view: ObservedState
) -> SyncSpec:
    """Another run may have brought a newer certificate a moment ago."""
    try:
        with client_of_source(order.config.source, target.deadline) as source:
            found = recheck(source, order.config.source, names, datetime.now(UTC))
    except ClusterError as error:
        view.failures.append(error.failure)
        return order
    return replace(order, inventory=order.inventory.corrected(found))


def _review_rights(
    target: ClusterClient, cluster: Cluster, plan: Plan, view: ObservedState, warnings: list[str]
) -> Plan:
    """What of the plan may be written, asked before the first write; only a run that writes asks."""
    namespaces = sorted({change.target.namespace for change in plan.writes})
    barred = set()
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        for namespace, rights in zip(namespaces, pool.map(target.rights, namespaces), strict=True):
            missing = ", ".join(rights.missing())
            excess = ", ".join(rights.excess(needed(prune=cluster.prune)))
            what = f"write secrets in {namespace}"
            if missing:
                barred.add(namespace)
                view.failures.append(
                    _failure(cluster, FailureCode.FORBIDDEN, what, f"missing verbs: {missing}")
                )
            elif excess and cluster.protected:
                barred.add(namespace)
                view.failures.append(
                    _failure(cluster, FailureCode.EXCESSIVE_RIGHTS, what, f"verbs: {excess}")
                )
            elif excess:
                warnings.append(f"{namespace}: the credential may do more with Secrets than needed: {excess}")
    kept = (change for change in plan.changes if not (change.writes and change.target.namespace in barred))
    return plan.model_copy(update={"changes": tuple(kept)})


def _hold_back(plan: Plan, order: SyncSpec, view: ObservedState) -> Plan:
    """Where an earlier wave went badly, what is not urgent stays in the report, undone."""
    if not order.urgent_only:
        return plan
    to_do, waiting = urgent(plan, datetime.now(UTC))
    if waiting:
        view.failures.append(failure_of(order, len(waiting), len(plan.writes)))
    return to_do


def _ensure_safe(plan: Plan, order: SyncSpec, view: ObservedState) -> None:
    try:
        ensure_safe(plan, order.cluster, order.inventory, view.secrets.values(), order.owner)
    except UnsafePlan as error:
        failure = _failure(order.cluster, FailureCode.UNSAFE_PLAN, "check the plan", str(error))
        raise ClusterError(failure) from None


def _write(
    target: ClusterClient, order: SyncSpec, plan: Plan, view: ObservedState
) -> tuple[tuple[Change, ...], list[Failure]]:
    try:
        with client_of_source(order.config.source, target.deadline) as source:
            return Writer(source, target, order, view).write(plan)
    except ClusterError as error:
        return plan.changes, [error.failure]
