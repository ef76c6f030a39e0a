"""The Prefect task that prunes one cluster, around tasks/target/prune.py, and its fan-out by wave."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from prefect import task

from tasks.domain.errors import ClusterFailed, internal_error
from tasks.domain.models import ClusterReport
from tasks.orchestration.fan_out import Job, Submit, run_concurrently, submit_to_thread
from tasks.orchestration.remote_tasks import remote_task_scope
from tasks.plan.prune import PrunePlan, copies_newer_than_ops, plan_prune, with_outcome
from tasks.plan.spec import SyncSpec
from tasks.plan.waves import waves_of, went_well
from tasks.report.served import not_served_lines
from tasks.target.prune import prune


@task(
    name="prune-cluster",
    description="Delete copies whose certificate has long been gone from OPS, where the cluster is pruned.",
    persist_result=False,
    log_prints=False,
)
def prune_cluster(spec: SyncSpec, plan: PrunePlan, report: ClusterReport, newer: str) -> ClusterReport:
    """Return the cluster's report with the deletions. Raises ClusterFailed if pruning failed."""
    with remote_task_scope() as scope:
        pruned = prune(spec, plan, report, newer).model_copy(update={"requests": scope.requests()})
    if len(pruned.failures) > len(report.failures):
        raise ClusterFailed(pruned) from None
    return pruned


def prune_clusters(
    specs: Iterable[SyncSpec], reports: Iterable[ClusterReport], submit: Submit = submit_to_thread
) -> tuple[tuple[ClusterReport, ...], BaseException | None]:
    """Prune wave by wave. Return the reports with the deletions, and the signal that stopped the run, if any.

    Once a wave has failed, or was found not to serve what is stored there, nothing is deleted in later ones.
    """
    specs, found = tuple(specs), {report.cluster: report for report in reports}
    planned = {one.cluster: one for one in plan_prune(specs, found.values(), datetime.now(UTC))}
    submit_one = partial(_submit, submit, copies_newer_than_ops(found.values()) if planned else "")
    signal: BaseException | None = None
    may_delete = True
    for wave in waves_of(specs) if planned else ():
        pairs = [(spec, planned[spec.cluster.name]) for spec in wave if spec.cluster.name in planned]
        todo = [(spec, one if may_delete else one._replace(deletes=())) for spec, one in pairs]
        may_delete = may_delete and _went_well(wave, [found[spec.cluster.name] for spec in wave])
        done, signal = _prune_wave(todo, found, submit_one)
        may_delete = may_delete and all(len(one.failures) == len(found[one.cluster].failures) for one in done)
        found |= {report.cluster: report for report in done}
        if signal:
            break
    return tuple(found.values()), signal


def _went_well(wave: Sequence[SyncSpec], reports: Sequence[ClusterReport]) -> bool:
    """Whether the copies of a wave are as on OPS; and served, as far as the run has looked."""
    return went_well(wave, reports) and not any(any(not_served_lines(report)) for report in reports)


def _prune_wave(
    todo: Iterable[tuple[SyncSpec, PrunePlan]],
    found: dict[str, ClusterReport],
    submit: Callable[[SyncSpec, PrunePlan, ClusterReport], Any],
) -> tuple[list[ClusterReport], BaseException | None]:
    """Prune the clusters that have something to delete or to record; the others need no task."""
    todo = tuple(todo)
    idle = [with_outcome(found[one.cluster], one.deferred, one.failures) for _, one in todo if not one.rows]
    busy = [(spec, one, found[one.cluster]) for spec, one in todo if one.rows]
    jobs = (Job(partial(submit, *each), partial(_internal_error_report, each[-1])) for each in busy)
    done, signal = run_concurrently(jobs)
    return [*idle, *done], signal


def _submit(submit: Submit, newer: str, spec: SyncSpec, plan: PrunePlan, report: ClusterReport) -> Any:
    task_run = prune_cluster.with_options(task_run_name=f"prune-{plan.cluster}")
    return submit(task_run, spec=spec, plan=plan, report=report, newer=newer)


def _internal_error_report(before: ClusterReport, error: BaseException) -> ClusterReport:
    return with_outcome(before, (), [internal_error(before.cluster, "prune", error)])
