"""The Prefect task that brings one cluster in sync, and its fan-out. A shell around tasks/target/sync.py."""

from collections.abc import Iterable
from functools import partial
from typing import Any

from prefect import task
from prefect.context import TaskRunContext

from tasks.domain.attempts import with_earlier_writes, writes_of
from tasks.domain.errors import ClusterFailed, internal_error
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import Change, ClusterReport, Failure
from tasks.orchestration.fan_out import Job, Submit, run_concurrently, submit_to_thread
from tasks.orchestration.remote_tasks import here, remote_task_scope
from tasks.orchestration.task_options import TASK_OPTIONS, deadline_of_task
from tasks.plan.spec import SyncSpec
from tasks.plan.waves import held_back, hold_reason, waves_of
from tasks.target.sync import deliver


def key_of_sync(context: TaskRunContext, parameters: dict[str, Any]) -> str:
    """A resumed run does not repeat a finished cluster, unless OPS or its configuration has changed."""
    order: SyncSpec = parameters["order"]
    return f"tls-sync-{context.task_run.flow_run_id}-{order.cluster.name}-{order.digest}"


@task(
    name="sync-cluster",
    description="List one cluster, plan, and write what differs; fails with a report where it can't.",
    cache_key_fn=key_of_sync,
    **TASK_OPTIONS,
)
def sync_cluster(order: SyncSpec) -> str:
    """The cluster's report as JSON: as a text it takes a third of what it takes as dictionaries."""
    _tag(f"cluster:{order.cluster.name}")
    with remote_task_scope() as requests:
        try:
            report = deliver(order, deadline_of_task(order.until))
        except Exception as error:  # noqa: BLE001  its text could hold anything, so it ends here
            report = _defect_report(order, error)
        report = _of_all_attempts(report).model_copy(update={"requests": requests()})
    if not report.ok:
        raise ClusterFailed(_signed(report)) from None
    return report.model_dump_json(exclude_defaults=True)


def _signed(report: ClusterReport) -> ClusterReport:
    """Where a worker met the trouble, its name: the kubeconfig and the versions that count are its own."""
    if not (host := here()):
        return report
    return report.model_copy(update={"warnings": (*report.warnings, f"served by the worker on {host}")})


_WRITTEN: dict[str, tuple[Change, ...]] = {}
"""What earlier attempts of a task run wrote. Attempts follow each other in one process."""


def _of_all_attempts(report: ClusterReport) -> ClusterReport:
    context = TaskRunContext.get()
    key = str(context.task_run.id) if context else ""
    report = with_earlier_writes(report, _WRITTEN.pop(key, ()))
    if report.transient:  # else there is no other attempt
        _WRITTEN[key] = writes_of(report)
    return report


def sync_clusters(
    orders: Iterable[SyncSpec], submit: Submit = submit_to_thread
) -> tuple[tuple[ClusterReport, ...], BaseException | None]:
    """One task run per cluster, wave after wave; waits for all of them, also when some fail.

    Where the run is told to stop (SIGTERM, Ctrl-C, a cancellation in the UI), current writes end and no other
    begins; then the second value is what told us so.
    """
    reports: tuple[ClusterReport, ...] = ()
    signal: BaseException | None = None
    held, before = "", None
    for wave in waves_of(orders):
        if signal:
            reports += tuple(map(_not_begun, wave))
            continue
        held = held or (hold_reason(*before) if before else "")  # asked of a wave that another one follows
        done, signal = _sync_wave(held_back(wave, held) if held else wave, submit)
        before = wave, done
        reports += done
    return reports, signal


def _sync_wave(
    wave: Iterable[SyncSpec], submit: Submit
) -> tuple[tuple[ClusterReport, ...], BaseException | None]:
    return run_concurrently(map(partial(_job, submit), wave))


def _job(submit: Submit, order: SyncSpec) -> Job:
    return Job(partial(submit, _named(order), order=order), partial(_defect_report, order))


def _not_begun(order: SyncSpec) -> ClusterReport:
    name = order.cluster.name
    failure = Failure(code=FailureCode.INTERRUPTED, cluster=name, what="bring the cluster in sync")
    return ClusterReport(cluster=name, dry_run=order.dry_run, failures=(failure,))


def _named(order: SyncSpec) -> Any:
    return sync_cluster.with_options(task_run_name=f"sync-{order.cluster.name}")


def _tag(tag: str) -> None:
    """Tag this task run. A tag given beforehand makes Prefect take a lease on it first: 2 s per run."""
    context = TaskRunContext.get()
    if context and tag not in context.task_run.tags:
        context.task_run.tags.append(tag)


def _defect_report(order: SyncSpec, error: BaseException) -> ClusterReport:
    failure = internal_error(order.cluster.name, "bring the cluster in sync", error)
    return ClusterReport(cluster=order.cluster.name, dry_run=order.dry_run, failures=(failure,))
