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
from tasks.writer import Writer

Found = dict[str, dict[SecretRef, TargetSecret]]
"""What the target has, by namespace; a namespace that could not be listed is left out."""


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
    found, failures = _list_namespaces(target, order.namespaces)
    plan = _plan(order, found)
    if edited := drifted(plan):
        _read_edited(target, edited, found)
        plan = _plan(order, found)
    _ensure_safe(plan, order, found)
    changes = plan.changes
    if plan.writes and not order.dry_run:
        changes, more = _write(target, order, plan, found)
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


def _list_namespaces(target: ClusterClient, namespaces: Iterable[str]) -> tuple[Found, list[Failure]]:
    """A namespace that may not be listed costs its own certificates; a cluster in trouble costs all."""

    def list_one(namespace: str) -> dict[SecretRef, TargetSecret] | Failure:
        try:
            return {secret.ref: secret for secret in target.target_secrets(namespace)}
        except ClusterError as error:
            if error.failure.transient:
                raise
            return error.failure

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        answers = dict(zip(namespaces, pool.map(list_one, namespaces), strict=True))
    failures = [answer for answer in answers.values() if isinstance(answer, Failure)]
    return {ns: answer for ns, answer in answers.items() if not isinstance(answer, Failure)}, failures


def _plan(order: Order, found: Found) -> Plan:
    plan = make_plan(
        order.cluster,
        order.inventory,
        _all(found),
        owner=order.config.owner,
        now=datetime.now(UTC),
        certificate=order.certificate,
    )
    # Where nothing could be listed nothing is known, so nothing is planned.
    known = tuple(change for change in plan.changes if change.target.namespace in found)
    return plan.model_copy(update={"changes": known})


def _read_edited(target: ClusterClient, refs: Iterable[SecretRef], found: Found) -> None:
    """Look once into copies that somebody edited: what they hold now may be newer than what OPS has."""
    for ref in refs:
        secret = found[ref.namespace][ref]
        facts = {"was_read": True, "read": _certificate_held(target, ref)}
        found[ref.namespace][ref] = secret.model_copy(update=facts)


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


def _all(found: Found) -> list[TargetSecret]:
    return [secret for secrets in found.values() for secret in secrets.values()]


def _ensure_safe(plan: Plan, order: Order, found: Found) -> None:
    try:
        ensure_safe(plan, order.cluster, order.inventory, _all(found), order.config.owner)
    except UnsafePlan as error:
        raise _failed(order.cluster, Code.UNSAFE_PLAN, "check the plan", str(error)) from None


def _write(
    target: ClusterClient, order: Order, plan: Plan, found: Found
) -> tuple[tuple[Change, ...], list[Failure]]:
    source_name = order.config.source.label
    client = connect(source_name, order.config.source.context)
    with ClusterClient(source_name, client, target.deadline) as source:
        return Writer(source, target, order, found).write(plan)
