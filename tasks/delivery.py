"""Brings one cluster in sync: list, plan, check, write. Plain functions; Prefect's shell is sync.py."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from tasks.candidate import Candidate, Refused
from tasks.cluster import ClusterClient
from tasks.config import Cluster
from tasks.errors import ClusterError
from tasks.kubeconfig import CONNECTIONS, connect
from tasks.models import Change, ClusterReport, Failure, Plan, SecretRef, TargetSecret, Version
from tasks.order import Order
from tasks.plan import UnsafePlan, drifted, ensure_safe, make_plan
from tasks.reasons import Code
from tasks.view import View
from tasks.writer import Writer


def deliver(order: Order, deadline: float) -> ClusterReport:
    """Bring a cluster in sync and say what really happened. Expected failures are in the report.

    `deadline` is a moment of time.monotonic(), after which no request is made.
    """
    cluster = order.cluster
    try:
        with ClusterClient(cluster.name, connect(cluster.name, cluster.context), deadline) as target:
            return _deliver_to(target, order)
    except ClusterError as error:
        return ClusterReport(cluster=cluster.name, dry_run=order.dry_run, failures=(error.failure,))


def _deliver_to(target: ClusterClient, order: Order) -> ClusterReport:
    warnings = _verify_identity(target, order.cluster)
    view = _list_namespaces(target, order.namespaces)
    plan = _plan(order, view)
    if edited := drifted(plan):
        _read_edited(target, edited, view)
        plan = _plan(order, view)
    _ensure_safe(plan, order, view)
    changes, failures = plan.changes, view.failures
    if plan.writes and not order.dry_run:
        changes, more = _write(target, order, plan, view)
        failures += more
    return ClusterReport(
        cluster=order.cluster.name,
        dry_run=order.dry_run,
        changes=changes,
        failures=tuple(failures),
        warnings=tuple(warnings),
    )


def _verify_identity(target: ClusterClient, cluster: Cluster) -> list[str]:
    """Before anything else: this must be the cluster that the configuration means."""
    found = target.cluster_id()
    if cluster.cluster_id is None:
        return [f"clusterId is not pinned; this cluster's is {found}"]
    if cluster.cluster_id != found:
        detail = f"pinned {cluster.cluster_id}, found {found}"
        raise _failed(cluster, Code.WRONG_CLUSTER, "verify clusterId", detail)
    return []


def _failed(cluster: Cluster, code: Code, what: str, detail: str) -> ClusterError:
    return ClusterError(Failure(code=code, cluster=cluster.name, what=what, detail=detail))


def _list_namespaces(target: ClusterClient, namespaces: Iterable[str]) -> View:
    """A namespace that may not be listed costs its own certificates; a cluster in trouble costs all."""

    def list_one(namespace: str) -> list[TargetSecret] | Failure:
        try:
            return target.target_secrets(namespace)
        except ClusterError as error:
            if error.failure.transient:
                raise
            return error.failure

    view = View()
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        for namespace, answer in zip(namespaces, pool.map(list_one, namespaces), strict=True):
            if isinstance(answer, Failure):
                view.failures.append(answer)
            else:
                view.add(namespace, answer)
    return view


def _plan(order: Order, view: View) -> Plan:
    plan = make_plan(
        order.cluster,
        order.inventory,
        view.secrets.values(),
        owner=order.config.owner,
        now=datetime.now(UTC),
        certificate=order.certificate,
    )
    return view.cover(plan)


def _read_edited(target: ClusterClient, refs: Iterable[SecretRef], view: View) -> None:
    """Look once into copies that somebody edited: what they hold now may be newer than what OPS has."""
    for ref in refs:
        try:
            facts = {"was_read": True, "read": _certificate_held(target, ref)}
            view.secrets[ref] = view.secrets[ref].model_copy(update=facts)
        except ClusterError as error:
            if error.failure.transient:
                raise
            if error.failure.code is Code.NOT_FOUND:  # deleted since the list, so it is missing now
                del view.secrets[ref]
            else:
                view.unknown.add(ref)
                view.failures.append(error.failure)


def _certificate_held(target: ClusterClient, ref: SecretRef) -> Version | None:
    """Facts of the certificate that a copy holds, whatever its key; None where it holds none."""
    candidate = Candidate(target.tls_secret(ref))
    try:
        leaf = candidate.leaf
        return Version(
            fingerprint=candidate.fingerprint,
            not_before=leaf.not_valid_before_utc,
            not_after=leaf.not_valid_after_utc,
        )
    except Refused:
        return None


def _ensure_safe(plan: Plan, order: Order, view: View) -> None:
    try:
        ensure_safe(plan, order.cluster, order.inventory, view.secrets.values(), order.config.owner)
    except UnsafePlan as error:
        raise _failed(order.cluster, Code.UNSAFE_PLAN, "check the plan", str(error)) from None


def _write(
    target: ClusterClient, order: Order, plan: Plan, view: View
) -> tuple[tuple[Change, ...], list[Failure]]:
    source = order.config.source
    try:
        api = connect(source.label, source.context)
    except ClusterError as error:
        return plan.changes, [error.failure]
    with ClusterClient(source.label, api, target.deadline) as client:
        return Writer(client, target, order, view).write(plan)
