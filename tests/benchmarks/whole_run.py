"""Whole runs of the flow: against the kubectl loop, and how much they ask of the API servers."""

import math

from deployments.sandbox.progress import Say
from deployments.sandbox.world.cert_manager import SOURCE_NAMESPACE
from deployments.sandbox.world.kubeconfig import SOURCE_CLUSTER
from tasks.kube.client import DATA_PAGE, METADATA_PAGE
from tests.benchmarks.flow_process import FlowProcess, Run
from tests.benchmarks.kubectl_loop import Loop, time_loop
from tests.benchmarks.results import Pair, Result, seconds
from tests.benchmarks.sizes import Size
from tests.benchmarks.usage import middle
from tests.benchmarks.world import NAMESPACES, TARGETS, World

IDENTITY = 2
"""Requests: whom the API server takes us for, and the uid of its kube-system."""
TIMES = 15


def against_kubectl(flow: FlowProcess, say: Say, size: Size) -> Result:
    """From empty targets to the last copy; the run's processes start from nothing, and that counts."""
    runs: list[Run] = []

    def sync() -> None:
        flow.world.empty()
        runs.append(flow.run())
        say(f"whole run, {len(runs)}: {runs[-1].seconds:.2f} s")

    for _ in range(size.whole_runs // 2):
        sync()
    loop = time_loop(flow.world, say, size.loop_copies)
    say(f"kubectl loop: {loop.seconds:.1f} s, from {loop.made} copies")
    for _ in range(size.whole_runs - size.whole_runs // 2):
        sync()
    say("whole run with nothing to do: twice, to see what Prefect itself takes")
    unchanged = [flow.run() for _ in range(2)]
    return _against(runs, loop, unchanged, len(flow.world.copies))


def _against(runs: list[Run], loop: Loop, unchanged: list[Run], copies: int) -> Result:
    ours = [run.seconds for run in runs]
    pair = Pair([loop.seconds], ours)
    sampled = loop.made < copies
    return Result(
        key="run_vs_kubectl_loop",
        what=f"whole run, {copies} copies: kubectl loop / ours",
        value=pair.ratio,
        unit="x",
        ours=seconds(ours),
        other=seconds([loop.seconds]) + (" (extrapolated)" if sampled else ""),
        demand=f"at least {TIMES}x",
        met=pair.ratio >= TIMES,
        details={
            "ours_seconds": ours,
            "other_seconds": loop.seconds,
            "copies": copies,
            "loop_extrapolated_from": loop.made if sampled else None,
            "unchanged_run_seconds": [run.seconds for run in unchanged],
            "cpu_seconds": {
                "ours": middle(run.cpu for run in runs),
                "kubectl loop": loop.cpu,
                "ours, unchanged": middle(run.cpu for run in unchanged),
                "servers during ours": middle(run.servers_cpu for run in runs),
                "servers during the loop": loop.servers_cpu,
                "servers during ours, unchanged": middle(run.servers_cpu for run in unchanged),
            },
        },
    )


def unchanged_requests(flow: FlowProcess, say: Say) -> Result:
    """Counted by the API servers' audit logs; not a time, so it must be exactly what the design says."""
    say("unchanged: counting the requests of a whole run")
    flow.run()  # brings everything in sync, if it is not yet
    counted, expected = flow.counted(flow.run).requests, expected_requests(flow.world)
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
    expected = IDENTITY + pages(len(source.list(f"/api/v1/{path}/secrets")), DATA_PAGE)
    expected += pages(len(source.list(f"/apis/cert-manager.io/v1/{path}/certificates")), METADATA_PAGE)
    for name in TARGETS:
        target = world.sandbox.cluster(name).admin
        sizes = (len(target.secrets(namespace)) for namespace in NAMESPACES)
        expected += IDENTITY + sum(pages(size, METADATA_PAGE) for size in sizes)
    return expected


def pages(items: int, limit: int) -> int:
    """An empty list is a page, too."""
    return max(1, math.ceil(items / limit))
