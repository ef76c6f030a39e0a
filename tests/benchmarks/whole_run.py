"""Whole runs of the flow: against the kubectl loop, and how many requests they make."""

import math

from deployments.sandbox.progress import Say
from deployments.sandbox.world.cert_manager import SOURCE_NAMESPACE
from deployments.sandbox.world.kubeconfig import SOURCE_CLUSTER
from tasks.kube.client import DATA_PAGE, METADATA_PAGE
from tests.benchmarks.flow_process import FlowProcess, Run
from tests.benchmarks.kubectl_loop import Loop, time_loop, time_script
from tests.benchmarks.results import Pair, Result, at_most, seconds
from tests.benchmarks.sizes import Size
from tests.benchmarks.usage import Usage, middle
from tests.benchmarks.world import NAMESPACES, TARGETS, World

IDENTITY = 2
"""Requests: a SelfSubjectReview, and the uid of the namespace kube-system."""
TIMES = 15
SCRIPT_TIMES, SCRIPT_CPU_TIMES = 1.0, 0.7


def against_kubectl(flow: FlowProcess, say: Say, size: Size) -> Result:
    """From empty targets to the last copy, with the start of the run's processes."""
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
    say("whole run with nothing to do, twice")
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


def against_script(flow: FlowProcess, say: Say, size: Size) -> list[Result]:
    """First syncs of a pod and of the script in turn, from empty targets, with the start of all processes."""
    time_script(flow.world, say)  # fills kubectl's cache of the API discovery
    runs, scripts = list[Run](), list[Usage]()
    for turn in range(1, size.whole_runs + 1):
        flow.world.empty()
        runs.append(flow.run_in_pod())
        scripts.append(time_script(flow.world, say))
        took = f"ours {runs[-1].seconds:.2f} s, the script {scripts[-1].seconds:.2f} s"
        say(f"whole run against the script, {turn} of {size.whole_runs}: {took}")
    copies = len(flow.world.copies)
    wall = Pair([one.seconds for one in runs], [one.seconds for one in scripts])
    cpu = Pair([one.cpu for one in runs], [one.children_cpu for one in scripts])
    against = "ours / a good kubectl script"
    return [
        at_most(
            "run_vs_good_kubectl", f"first sync in a pod, {copies} copies: {against}", wall, SCRIPT_TIMES
        ),
        at_most("run_cpu_vs_good_kubectl", f"the same, CPU: {against}", cpu, SCRIPT_CPU_TIMES),
    ]


def unchanged_requests(flow: FlowProcess, say: Say) -> Result:
    """By the API servers' audit logs. It is a count, so it must be exactly what is expected."""
    say("unchanged: counting the requests of a whole run")
    flow.run()  # so that everything is in sync
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
    """OPS: identity, pages of two lists. Each target: identity, pages of a list per namespace."""
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
    """An empty list is a page too."""
    return max(1, math.ceil(items / limit))
