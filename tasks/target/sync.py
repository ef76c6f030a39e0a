"""Brings one cluster in sync: list, plan, check, write. Plain functions; the task is sync_cluster.py."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime

from tasks.config.discovered import SETUP
from tasks.config.schema import Cluster
from tasks.domain.errors import ClusterError
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import Change, ClusterReport, Failure, Plan
from tasks.kube.client import ClusterClient
from tasks.kube.permissions import Permissions, required_verbs
from tasks.kube.pool import client_of_source, client_of_target
from tasks.kubeconfig.reader import MAX_CONNECTIONS
from tasks.plan.decide import downgrades, make_plan, must_read_first, with_undecided
from tasks.plan.described import unfit_among
from tasks.plan.further import warn_of_keystores
from tasks.plan.note import changed_notes
from tasks.plan.observed import ObservedState
from tasks.plan.orphans import clock_of, with_prune_forecast
from tasks.plan.safety import UnsafePlan, ensure_safe
from tasks.plan.spec import SyncSpec
from tasks.plan.waves import hold_failure, only_urgent
from tasks.served.awaited import served_copies
from tasks.source.read import recheck
from tasks.target.entries import read_entries
from tasks.target.identity import verify_identity
from tasks.target.notes import write_notes
from tasks.target.read import list_namespaces, read_copies
from tasks.target.remembered import Look
from tasks.target.selected import list_selected
from tasks.target.write import Writer


def sync(spec: SyncSpec, deadline: float, look: Look | None = None) -> ClusterReport:
    """Bring a cluster in sync and report what really happened. Expected failures are in the report.

    `deadline` is a moment of time.monotonic() after which no request is made. `look` is filled.
    """
    cluster, expires_at = spec.cluster, None
    try:
        with (
            spec.memory.gathering.expecting(cluster.name),
            client_of_target(spec.config, cluster, deadline) as target,
        ):
            expires_at = target.credential_expires_at
            report = _sync(target, spec, look or Look())
    except ClusterError as error:
        report = _failed(spec, error.failure)
    return report.model_copy(update={"credential_ends": expires_at})


def preview(spec: SyncSpec, deadline: float) -> tuple[ClusterReport, ObservedState]:
    """What a dry run reports of a cluster, and what it observed; nothing where the cluster failed."""
    cluster, observed = spec.cluster, ObservedState()
    dry = replace(spec, parameters=replace(spec.parameters, dry_run=True))
    try:
        with client_of_target(spec.config, cluster, deadline) as target:
            return _sync(target, dry, Look(observed)), observed
    except ClusterError as error:
        return _failed(dry, error.failure), ObservedState()


def _failed(spec: SyncSpec, failure: Failure) -> ClusterReport:
    """Return the report of a cluster that could not be served.

    What a discovered one lacks is a failure only of a run for it: somebody else may have announced it.
    """
    report = ClusterReport(cluster=spec.cluster.name, dry_run=spec.dry_run)
    lacks = failure.code in SETUP and spec.parameters.cluster != spec.cluster.name
    return report.model_copy(update={"lacks": failure} if lacks else {"failures": (failure,)})


def _sync(target: ClusterClient, spec: SyncSpec, look: Look) -> ClusterReport:
    observed, warnings = look.observed, verify_identity(target, spec, datetime.now(UTC))
    warnings += warn_of_keystores(spec.cluster)
    look.warnings, look.credential = tuple(warnings), target.credential_version
    list_namespaces(target, spec.namespaces, observed)
    spec, selected = _select(target, spec, observed, warnings)
    of_namespaces = len(observed.failures)
    listed = spec.snapshot.listed
    spec, plan = _plan(target, spec, observed)
    plan = with_prune_forecast(plan, spec, clock_of(target.server_time, datetime.now(UTC)))
    _ensure_safe(plan, spec, observed)
    changes, failures = plan.changes, observed.failures
    due, waiting = _hold_back(plan, spec, observed)
    if due.writes and not spec.dry_run:
        look.rights |= _review(target, {change.target.namespace for change in due.writes})
        allowed = permitted(spec.cluster, due, look.rights, observed, warnings)
        changes, more = _write(target, spec, allowed, observed)
        reported = {change.target for change in allowed.changes}  # by row, 1,000 would take a second
        changes += tuple(change for change in plan.changes if change.target not in reported)
        failures += more
    else:
        spec.memory.gathering.drop(spec.cluster.name)
    # A namespace that can't be listed keeps no note from the copies in others.
    is_held = spec.urgent_only and not spec.looks_first
    if not (spec.dry_run or is_held or failures[of_namespaces:]):
        warnings += _note(target, spec, plan, look)
    return ClusterReport(
        cluster=spec.cluster.name,
        dry_run=spec.dry_run,
        changes=changes,
        failures=tuple(failures),
        warnings=tuple(warnings),
        source=unfit_among(listed, spec.snapshot),
        selected=selected,
        served=served_copies(spec, changes, observed.secrets, datetime.now(UTC)),
        waiting=waiting,
    )


def _select(
    target: ClusterClient, spec: SyncSpec, observed: ObservedState, warnings: list[str]
) -> tuple[SyncSpec, dict[str, tuple[str, ...]]]:
    """The spec with the namespaces that have the labels of routes; no request without such routes."""
    if not spec.cluster.selectors_of(spec.certificate):
        return spec, {}
    spec, chosen = list_selected(target, spec, observed)
    warnings += chosen.warnings
    return spec, chosen.found


def _plan(target: ClusterClient, spec: SyncSpec, observed: ObservedState) -> tuple[SyncSpec, Plan]:
    """Plan, read what the plan depends on, and plan again until it depends on nothing unread.

    That is a certificate on OPS that no note proves to be in sync; a copy whose metadata does not tell
    whether it may be replaced; and, where a copy is newer than the snapshot of OPS, its certificate there:
    another run may have copied a renewal a moment ago.
    """
    rules, rechecked = spec.rules, frozenset[str]()
    while True:
        plan = make_plan(
            spec.cluster,
            spec.snapshot,
            observed.secrets.values(),
            owner=spec.owner,
            now=datetime.now(UTC),
            certificate=spec.certificate,
            explicit=spec.explicit,
            rules=rules,
        )
        plan = observed.only_observed(plan)
        names = frozenset(plan.unread.values())
        if names and (read := _read_listed(target, spec, names, observed)):
            spec = read
        elif refs := must_read_first(plan, observed.secrets):
            read_copies(target, refs, spec.config.source, observed)
        elif doubtful := downgrades(plan) - rechecked:
            spec, rechecked = _recheck(target, spec, doubtful, observed), rechecked | doubtful
        else:
            return spec, with_undecided(plan, observed.secrets, spec.owner)


def _read_listed(
    target: ClusterClient, spec: SyncSpec, names: frozenset[str], observed: ObservedState
) -> SyncSpec | None:
    """The spec with what OPS has under these names; None if OPS can't be read, which is a failure then."""
    if names & observed.unread_sources:
        return None
    try:
        found = read_entries(spec, sorted(names), target.deadline)
    except ClusterError as error:
        observed.failures.append(error.failure)
        observed.unread_sources |= names
        return None
    return replace(spec, snapshot=spec.snapshot.corrected(found))


def _recheck(
    target: ClusterClient, spec: SyncSpec, names: frozenset[str], observed: ObservedState
) -> SyncSpec:
    """The spec with what OPS has by now under these names."""
    try:
        with client_of_source(spec.config.source, target.deadline) as source:
            found = recheck(source, spec.config.source, names, datetime.now(UTC))
    except ClusterError as error:
        observed.failures.append(error.failure)
        return spec
    return replace(spec, snapshot=spec.snapshot.corrected(found))


def _hold_back(plan: Plan, spec: SyncSpec, observed: ObservedState) -> tuple[Plan, int]:
    """The plan; where only urgent writes are allowed, without the others, which the report shows undone.

    Where the run looks first, these are no failure yet: their number is returned.
    """
    if not spec.urgent_only:
        return plan, 0
    due, deferred = only_urgent(plan, datetime.now(UTC))
    if deferred and spec.looks_first:
        return due, len(deferred)
    if deferred:
        observed.failures.append(hold_failure(spec, len(deferred), len(plan.writes)))
    return due, 0


def _review(target: ClusterClient, namespaces: AbstractSet[str]) -> dict[str, Permissions]:
    """Our permissions in these namespaces; asked only by a run that writes there."""
    ordered = sorted(namespaces)
    with ThreadPoolExecutor(MAX_CONNECTIONS) as pool:
        return dict(zip(ordered, pool.map(target.permissions, ordered), strict=True))


def permitted(
    cluster: Cluster,
    plan: Plan,
    rights: Mapping[str, Permissions],
    observed: ObservedState,
    warnings: list[str],
) -> Plan:
    """What of the plan our permissions allow, before the first write."""
    barred = set()
    for namespace in sorted({change.target.namespace for change in plan.writes}):
        missing = ", ".join(rights[namespace].missing())
        excess = ", ".join(rights[namespace].excess(required_verbs(prune=cluster.prune)))
        if missing or (excess and cluster.protected):
            code = FailureCode.FORBIDDEN if missing else FailureCode.EXCESSIVE_RIGHTS
            detail = f"missing verbs: {missing}" if missing else f"verbs: {excess}"
            observed.failures.append(_failure(cluster, code, f"write secrets in {namespace}", detail))
            barred.add(namespace)
        elif excess:
            warnings.append(f"{namespace}: the credential may do more with Secrets than needed: {excess}")
    allowed = (change for change in plan.changes if not (change.writes and change.target.namespace in barred))
    return plan.model_copy(update={"changes": tuple(allowed)})


def _note(target: ClusterClient, spec: SyncSpec, plan: Plan, look: Look) -> list[str]:
    """Write notes, in a protected cluster only where our rights are not excessive. Returns warnings."""
    notes = tuple(changed_notes(plan, spec.snapshot, look.observed.secrets, spec.rules))
    if spec.cluster.protected and notes:
        look.rights |= _review(target, {copy.ref.namespace for copy, _ in notes} - look.rights.keys())
        wanted = required_verbs(prune=spec.cluster.prune)
        notes = tuple(one for one in notes if not look.rights[one[0].ref.namespace].excess(wanted))
    return write_notes(target, notes, look.observed)


def _ensure_safe(plan: Plan, spec: SyncSpec, observed: ObservedState) -> None:
    try:
        ensure_safe(plan, spec.cluster, spec.snapshot, observed.secrets.values(), spec.owner)
    except UnsafePlan as error:
        failure = _failure(spec.cluster, FailureCode.UNSAFE_PLAN, "check the plan", str(error))
        raise ClusterError(failure) from None


def _write(
    target: ClusterClient, spec: SyncSpec, plan: Plan, observed: ObservedState
) -> tuple[tuple[Change, ...], list[Failure]]:
    try:
        with client_of_source(spec.config.source, target.deadline) as source:
            return Writer(source, target, spec, observed).write(plan)
    except ClusterError as error:
        return plan.changes, [error.failure]


def _failure(cluster: Cluster, code: FailureCode, what: str, detail: str) -> Failure:
    return Failure(code=code, cluster=cluster.name, what=what, detail=detail)
