"""Whole runs of the flow: against the kubectl loop, and how much they ask of the API servers."""

import math
import time

from deployments.sandbox.cert_manager import SOURCE_NAMESPACE
from deployments.sandbox.kubeconfig import SOURCE_CLUSTER
from deployments.sandbox.progress import Say
from tasks.cluster import DATA_PAGE, METADATA_PAGE
from tests.benchmarks.flow_process import FlowProcess
from tests.benchmarks.kubectl_loop import SAMPLE, time_loop
from tests.benchmarks.results import Pair, Result, seconds
from tests.benchmarks.world import COPIES, NAMESPACES, TARGETS, World

IDENTITY = 2
"""Requests: whom the API server takes us for, and the uid of its kube-system."""
AUDIT_SECONDS = 1.0
"""An audit log has the last request some moments after its answer."""


def against_kubectl(flow: FlowProcess, say: Say, *, quick: bool) -> Result:
    """From empty targets to the last copy; the run's processes start from nothing, and that counts."""
    runs: list[float] = []

    def sync() -> None:
        flow.world.empty()
        runs.append(flow.run())
        say(f"whole run, {len(runs)}: {runs[-1]:.2f} s")

    sync()
    sync()
    loop = time_loop(flow.world, say, quick=quick)
    say(f"kubectl loop: {loop:.1f} s" + (f", extrapolated from {SAMPLE} copies" if quick else ""))
    sync()
    say("whole run with nothing to do: twice, to see what Prefect itself takes")
    unchanged = [flow.run() for _ in range(2)]
    pair = Pair([loop], runs)
    return Result(
        key="run_vs_kubectl_loop",
        what=f"whole run, {COPIES} copies: kubectl loop / ours",
        value=pair.ratio,
        unit="x",
        ours=seconds(runs),
        other=seconds([loop]) + (" (extrapolated)" if quick else ""),
        details={
            "ours_seconds": runs,
            "other_seconds": loop,
            "loop_extrapolated_from": SAMPLE if quick else None,
            "unchanged_run_seconds": unchanged,
        },
    )


def unchanged_requests(flow: FlowProcess, say: Say) -> Result:
    """Counted by the API servers' audit logs; not a time, so it must be exactly what the design says."""
    say("unchanged: counting the requests of a whole run")
    flow.run()  # brings everything in sync, if it is not yet
    before = _settled_count(flow.world)
    flow.run()
    counted, expected = _settled_count(flow.world) - before, expected_requests(flow.world)
    return Result(
        key="unchanged_requests",
        what="unchanged, whole run: API requests",
        value=counted,
        ours=str(counted),
        other=str(expected),
        demand="exactly that",
        met=counted == expected,
        details={"expected": expected},
    )


def expected_requests(world: World) -> int:
    """OPS: its identity, the pages of its two lists. Targets: identity, the pages of a list per namespace."""
    path = f"namespaces/{SOURCE_NAMESPACE}"
    source = world.sandbox.cluster(SOURCE_CLUSTER).admin
    expected = IDENTITY + _pages(len(source.list(f"/api/v1/{path}/secrets")), DATA_PAGE)
    expected += _pages(len(source.list(f"/apis/cert-manager.io/v1/{path}/certificates")), METADATA_PAGE)
    for name in TARGETS:
        target = world.sandbox.cluster(name).admin
        sizes = (len(target.secrets(namespace)) for namespace in NAMESPACES)
        expected += IDENTITY + sum(_pages(size, METADATA_PAGE) for size in sizes)
    return expected


def _pages(items: int, limit: int) -> int:
    """An empty list is a page, too."""
    return max(1, math.ceil(items / limit))


def _settled_count(world: World) -> int:
    time.sleep(AUDIT_SECONDS)
    return world.count_requests()
