"""The Prefect task that brings one cluster in sync, around tasks/target/sync.py, and its fan-out."""

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Any

from prefect import task
from prefect.context import TaskRunContext

from tasks.domain.attempts import with_earlier_writes, writes_of
from tasks.domain.errors import ClusterFailed, internal_error
from tasks.domain.models import ClusterReport
from tasks.orchestration.fan_out import Job, Submit, run_concurrently
from tasks.orchestration.remote_tasks import remote_task_scope, worker_hostname
from tasks.orchestration.task_options import TASK_OPTIONS, deadline_of_task
from tasks.plan.spec import RunMemory, SyncSpec
from tasks.target.sync import sync


def sync_cache_key(context: TaskRunContext, parameters: dict[str, Any]) -> str:
    """Return a key per input: a resumed run repeats a finished cluster only if its input has changed."""
    spec: SyncSpec = parameters["spec"]
    return f"tls-sync-{context.task_run.flow_run_id}-{spec.cluster.name}-{spec.digest}"


@task(
    name="sync-cluster",
    description="List one cluster, plan, and write what differs; fails with a report where it can't.",
    cache_key_fn=sync_cache_key,
    **TASK_OPTIONS,
)
def sync_cluster(spec: SyncSpec) -> str:
    """Return the cluster's report as JSON text, which takes a third of the memory of dictionaries.

    Raises ClusterFailed, with the report, if anything failed, or if the cluster can't be served yet.
    """
    _tag(f"cluster:{spec.cluster.name}")
    with remote_task_scope() as scope:
        spec = replace(spec, memory=scope.memory or spec.memory)
        try:
            report = sync(spec, deadline_of_task(spec.run_deadline))
        except Exception as error:  # noqa: BLE001  its text could hold anything, so it ends here
            report = _internal_error_report(spec, error)
        report = _with_earlier_attempts(report, spec.memory).model_copy(update={"requests": scope.requests()})
    if report.lacks or not report.ok:
        raise ClusterFailed(_with_worker(report)) from None
    return report.model_dump_json(exclude_defaults=True)


def _with_worker(report: ClusterReport) -> ClusterReport:
    """Name the worker, if any: its kubeconfig and installed versions may differ from the flow's."""
    if not (host := worker_hostname()):
        return report
    return report.model_copy(update={"warnings": (*report.warnings, f"served by the worker on {host}")})


def _with_earlier_attempts(report: ClusterReport, memory: RunMemory) -> ClusterReport:
    report = with_earlier_writes(report, memory.written.pop(report.cluster, ()))
    if report.transient:  # otherwise there is no other attempt
        memory.written[report.cluster] = writes_of(report)
    return report


def sync_wave(
    wave: Iterable[SyncSpec], submit: Submit
) -> tuple[tuple[ClusterReport, ...], BaseException | None]:
    """Run one task per cluster. Return the reports, and the signal that stopped them."""
    return run_concurrently(map(partial(_job, submit), wave))


def _job(submit: Submit, spec: SyncSpec) -> Job:
    return Job(partial(submit, _task_for(spec), spec=spec), partial(_internal_error_report, spec))


def _task_for(spec: SyncSpec) -> Any:
    return sync_cluster.with_options(task_run_name=f"sync-{spec.cluster.name}")


def _tag(tag: str) -> None:
    """Tag this task run. For a tag that is set before the start, Prefect takes a lease first: 2 s per run."""
    context = TaskRunContext.get()
    if context and tag not in context.task_run.tags:
        context.task_run.tags.append(tag)


def _internal_error_report(spec: SyncSpec, error: BaseException) -> ClusterReport:
    failure = internal_error(spec.cluster.name, "bring the cluster in sync", error)
    return ClusterReport(cluster=spec.cluster.name, dry_run=spec.dry_run, failures=(failure,))
