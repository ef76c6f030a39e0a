"""The Prefect task that prunes one cluster, and its fan-out. A shell around tasks/pruner.py."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from prefect import task
from prefect.utilities.annotations import opaque

from tasks.errors import ClusterFailed, defect
from tasks.models import ClusterReport
from tasks.order import Order
from tasks.prune import Pruning, merged, plan_prune
from tasks.pruner import prune
from tasks.stopping import stop
from tasks.sync import say_so, wait_for
from tasks.waves import waves_of, went_well


@task(
    name="prune-cluster",
    description="Delete copies whose certificate has long been gone from OPS, where the cluster is pruned.",
    persist_result=False,
    log_prints=False,
)
def prune_cluster(order: Order, pruning: Pruning, report: ClusterReport) -> ClusterReport:
    pruned = prune(order, pruning, report)
    if len(pruned.failures) > len(report.failures):
        raise ClusterFailed(pruned) from None
    return pruned


def prune_clusters(
    orders: Iterable[Order], reports: Iterable[ClusterReport]
) -> tuple[tuple[ClusterReport, ...], BaseException | None]:
    """The reports of a whole run, with what was deleted; and what told us to stop, if anything did.

    Wave after wave: where one went badly, nothing is deleted in those that follow.
    """
    orders, found = tuple(orders), {report.cluster: report for report in reports}
    planned = {one.cluster: one for one in plan_prune(orders, found.values(), datetime.now(UTC))}
    signal: BaseException | None = None
    well = True
    for wave in waves_of(orders) if planned else ():
        here = [(order, planned[order.cluster.name]) for order in wave if order.cluster.name in planned]
        todo = [(order, one if well else one._replace(deletes=())) for order, one in here]
        well = well and went_well(wave, [found[order.cluster.name] for order in wave])
        done, signal = _prune_wave(todo, found)
        well = well and all(len(one.failures) == len(found[one.cluster].failures) for one in done)
        found |= {report.cluster: report for report in done}
        if signal:
            break
    return tuple(found.values()), signal


def _prune_wave(
    todo: Iterable[tuple[Order, Pruning]], found: dict[str, ClusterReport]
) -> tuple[list[ClusterReport], BaseException | None]:
    """Side by side; where there is nothing to do, there is no task either."""
    done: list[ClusterReport] = []
    running: list[tuple[Pruning, Any]] = []
    signal: BaseException | None = None
    try:
        for order, pruning in todo:
            report = found[pruning.cluster]
            if not pruning.rows:
                done.append(merged(report, (), pruning.failures))
                continue
            named: Any = prune_cluster.with_options(task_run_name=f"prune-{pruning.cluster}")
            future = named.submit(opaque(order), opaque(pruning), opaque(report))
            running.append((pruning, future))
        for _, future in running:
            wait_for(future)
    except BaseException as told:  # noqa: BLE001  raised again by the flow, once its report is out
        signal = told
        stop()
        say_so(told)
    for pruning, future in running:
        done.append(_report(found[pruning.cluster], future.result(raise_on_failure=False)))
    return done, signal


def _report(before: ClusterReport, result: Any) -> ClusterReport:
    if isinstance(result, ClusterFailed):
        return result.report
    if isinstance(result, BaseException):
        return merged(before, (), [defect(before.cluster, "prune", result)])
    return ClusterReport.model_validate(result)
