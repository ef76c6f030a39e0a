"""The Prefect task that brings one cluster in sync, and its fan-out. A shell around tasks/delivery.py."""

import threading
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from prefect import task
from prefect.context import TaskRunContext
from prefect.logging import get_run_logger
from prefect.utilities.annotations import opaque

from tasks.attempts import with_earlier_writes, writes_of
from tasks.collect import CAREFULLY, deadline_of_task
from tasks.delivery import deliver
from tasks.elsewhere import at_work
from tasks.errors import ClusterFailed, defect
from tasks.models import Change, ClusterReport, Failure
from tasks.order import Order
from tasks.reasons import Code
from tasks.stopping import stop
from tasks.waves import held_back, waves_of, went_well

Submit = Callable[..., Any]
"""Takes a task and its parameters by name; returns a future."""
STEP_SECONDS = 0.5
"""In which a signal is heard, whichever thread gets it."""


def key_of_sync(context: TaskRunContext, parameters: dict[str, Any]) -> str:
    """A resumed run does not repeat a finished cluster, unless OPS or its configuration has changed."""
    order: Order = parameters["order"]
    return f"tls-sync-{context.task_run.flow_run_id}-{order.cluster.name}-{order.digest}"


@task(
    name="sync-cluster",
    description="List one cluster, plan, and write what differs; fails with a report where it can't.",
    cache_key_fn=key_of_sync,
    **CAREFULLY,
)
def sync_cluster(order: Order) -> dict[str, Any]:
    _tag(f"cluster:{order.cluster.name}")
    with at_work() as requests:
        try:
            report = deliver(order, deadline_of_task(order.until))
        except Exception as error:  # noqa: BLE001  its text could hold anything, so it ends here
            report = _defect_report(order, error)
        report = _of_all_attempts(report).model_copy(update={"requests": requests()})
    if not report.ok:
        raise ClusterFailed(report) from None
    return report.model_dump(mode="json")


_WRITTEN: dict[str, tuple[Change, ...]] = {}
"""What earlier attempts of a task run wrote. Attempts follow each other in one process."""


def _of_all_attempts(report: ClusterReport) -> ClusterReport:
    context = TaskRunContext.get()
    key = str(context.task_run.id) if context else ""
    report = with_earlier_writes(report, _WRITTEN.pop(key, ()))
    if report.transient:  # else there is no other attempt
        _WRITTEN[key] = writes_of(report)
    return report


def in_a_thread(task: Any, **parameters: Any) -> Any:
    """Of this process, by the flow's own task runner."""
    return task.submit(**{name: opaque(value) for name, value in parameters.items()})


def sync_clusters(
    orders: Iterable[Order], submit: Submit = in_a_thread
) -> tuple[tuple[ClusterReport, ...], BaseException | None]:
    """One task run per cluster, wave after wave; waits for all of them, also when some fail.

    Where the run is told to stop (SIGTERM, Ctrl-C, a cancellation in the UI), current writes end and no other
    begins; then the second value is what told us so.
    """
    reports: tuple[ClusterReport, ...] = ()
    signal: BaseException | None = None
    well = True
    for wave in waves_of(orders):
        if signal:
            reports += tuple(map(_not_begun, wave))
            continue
        done, signal = _sync_wave(wave if well else held_back(wave), submit)
        well = well and went_well(wave, done)
        reports += done
    return reports, signal


def _sync_wave(
    wave: Iterable[Order], submit: Submit
) -> tuple[tuple[ClusterReport, ...], BaseException | None]:
    orders = tuple(wave)
    results, signal = side_by_side(partial(submit, _named(order), order=order) for order in orders)
    begun = zip(orders, results, strict=False)
    return tuple(report_of(result, partial(_defect_report, order)) for order, result in begun), signal


def side_by_side(submissions: Iterable[Callable[[], Any]]) -> tuple[list[Any], BaseException | None]:
    """Results of the tasks that these submit, errors among them; and what told us to stop, if anything did.

    Then no other is submitted, so that there are fewer results than submissions.
    """
    running: list[Any] = []
    signal: BaseException | None = None
    try:
        for submit in submissions:
            running.append(submit())  # noqa: PERF401  kept, if interrupted
        for future in running:
            _wait_for(future)
    except BaseException as told:  # noqa: BLE001  raised again by the flow, once its report is out
        signal = told
        stop()
        _say_so(told)
    return [future.result(raise_on_failure=False) for future in running], signal


def _not_begun(order: Order) -> ClusterReport:
    name = order.cluster.name
    failure = Failure(code=Code.INTERRUPTED, cluster=name, what="bring the cluster in sync")
    return ClusterReport(cluster=name, dry_run=order.dry_run, failures=(failure,))


def _wait_for(future: Any) -> None:
    """In steps: a signal that the system gives to another thread is heard only when this one wakes."""
    done = threading.Event()
    future.add_done_callback(lambda _: done.set())
    while not done.wait(STEP_SECONDS):
        pass
    future.wait()


def _say_so(told: BaseException) -> None:
    """At once: the report comes once the writes under way have ended."""
    if not isinstance(told, Exception):
        get_run_logger().warning("told to stop: writes under way end, no other begins, then the report")


def _named(order: Order) -> Any:
    return sync_cluster.with_options(task_run_name=f"sync-{order.cluster.name}")


def _tag(tag: str) -> None:
    """Tag this task run. A tag given beforehand makes Prefect take a lease on it first: 2 s per run."""
    context = TaskRunContext.get()
    if context and tag not in context.task_run.tags:
        context.task_run.tags.append(tag)


def report_of(result: Any, defective: Callable[[BaseException], ClusterReport]) -> ClusterReport:
    """What a task came to; an error that nobody foresaw becomes a report, too."""
    if isinstance(result, ClusterFailed):
        return result.report
    if isinstance(result, BaseException):
        return defective(result)
    return ClusterReport.model_validate(result)


def _defect_report(order: Order, error: BaseException) -> ClusterReport:
    failure = defect(order.cluster.name, "bring the cluster in sync", error)
    return ClusterReport(cluster=order.cluster.name, dry_run=order.dry_run, failures=(failure,))
