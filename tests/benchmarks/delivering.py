"""The clusters' part of a run, without Prefect, as many clusters side by side as one likes."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from deployments.sandbox.errors import SandboxError
from tasks.config.limits import CLUSTER_SECONDS
from tasks.domain.models import Action
from tasks.plan.spec import SyncSpec
from tasks.target.sync import deliver


def deliver_all(
    orders: Sequence[SyncSpec], expected: Action, copies: int, run_concurrently: int = 1, lost: int = 0
) -> None:
    """So many copies must have come to that end, and no more than `lost` clusters be out of reach."""
    with ThreadPoolExecutor(run_concurrently) as pool:
        reports = list(pool.map(lambda order: deliver(order, time.monotonic() + CLUSTER_SECONDS), orders))
    done = sum(report.counts.get(expected, 0) for report in reports)
    bad = [report for report in reports if not report.ok]
    if done != copies or len(bad) != lost:
        told = "; ".join(str(failure) for report in bad for failure in report.failures) or "no failure"
        raise SandboxError(f"{done} of {copies} copies came to {expected}: {told}")
