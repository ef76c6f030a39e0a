"""Whole runs in a pod: against a kubectl loop and a good kubectl script, and how many requests they make."""

import math
from dataclasses import replace

from deployments.sandbox.progress import Say
from deployments.sandbox.world.cert_manager import SOURCE_NAMESPACE
from deployments.sandbox.world.kubeconfig import SOURCE_CLUSTER
from tasks.kube.client import METADATA_PAGE
from tests.benchmarks.comparison import Pair, at_least, at_most, cpu_seconds, cpus, walls
from tests.benchmarks.flow_process import FlowProcess
from tests.benchmarks.kubectl import Loop, Script
from tests.benchmarks.results import Result
from tests.benchmarks.rounds import in_rounds
from tests.benchmarks.sizes import Size
from tests.benchmarks.usage import Cost
from tests.benchmarks.world import NAMESPACES, TARGETS, World

IDENTITY = 2
"""Requests: a SelfSubjectReview, and the uid of the namespace kube-system."""
LOOP_TIMES, SCRIPT_TIMES, SCRIPT_CPU_TIMES = 15, 1.0, 0.7
OURS, UNCHANGED, LOOP, SCRIPT = "ours", "ours, unchanged", "kubectl loop", "kubectl script"


def against_loop(flow: FlowProcess, say: Say, size: Size) -> Result:
    """First syncs of a pod and of the loop, from empty targets, with the start of all processes."""
    copies, loop = len(flow.world.copies), Loop(flow.world, say, size.loop_copies)
    parties = {OURS: lambda: _first_sync(flow, say), LOOP: lambda: _said(say, LOOP, loop.time())}
    taken = in_rounds(parties, size.loop_rounds)
    say("whole run with nothing to do, twice")
    flow.world.empty()  # the loop's copies aren't ours
    flow.run_in_pod()
    flow.settle(len(flow.world.certificates))
    unchanged = [flow.run_in_pod() for _ in range(2)]
    facts = {
        "copies": copies,
        "loop_extrapolated_from": loop.made if loop.made < copies else None,
        "unchanged_run_seconds": [run.seconds for run in unchanged],
    } | cpu_seconds(taken | {UNCHANGED: [run.cost for run in unchanged]})
    pair = Pair(walls(taken[OURS]), walls(taken[LOOP]))
    what = f"first sync in a pod, {copies} copies: kubectl loop / ours"
    result = at_least("run_vs_kubectl_loop", what, pair, LOOP_TIMES, facts)
    return replace(result, other=f"{result.other} (extrapolated)") if loop.made < copies else result


def against_script(flow: FlowProcess, say: Say, size: Size) -> list[Result]:
    """First syncs of a pod and of the script, from empty targets, with the start of all processes."""
    script = Script(flow.world, say)
    script.time()  # fills kubectl's cache of the API discovery
    parties = {OURS: lambda: _first_sync(flow, say), SCRIPT: lambda: _said(say, SCRIPT, script.time())}
    taken = in_rounds(parties, size.whole_runs)
    flow.world.empty()  # the script's copies aren't ours
    wall = Pair(walls(taken[OURS]), walls(taken[SCRIPT]))
    cpu = Pair(cpus(taken[OURS]), cpus(taken[SCRIPT]))
    what, against = f"first sync in a pod, {len(flow.world.copies)} copies", "ours / a good kubectl script"
    return [
        at_most("run_vs_good_kubectl", f"{what}: {against}", wall, SCRIPT_TIMES, cpu_seconds(taken)),
        at_most("run_cpu_vs_good_kubectl", f"the same, CPU: {against}", cpu, SCRIPT_CPU_TIMES),
    ]


def _first_sync(flow: FlowProcess, say: Say) -> Cost:
    flow.world.empty()
    return _said(say, OURS, flow.run_in_pod().cost)


def _said(say: Say, party: str, cost: Cost) -> Cost:
    say(f"whole run: {party} {cost.seconds:.2f} s")
    return cost


def unchanged_requests(flow: FlowProcess, say: Say) -> Result:
    """By the API servers' audit logs. It is a count, so it must be exactly what is expected."""
    say("unchanged: counting the requests of a whole run")
    flow.run_in_pod()  # so that everything is in sync
    flow.settle(len(flow.world.certificates))
    counted, expected = flow.counted(flow.run_in_pod).requests, expected_requests(flow.world)
    return Result(
        key="unchanged_requests",
        what="unchanged run in a pod: API requests",
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
    expected = IDENTITY + pages(len(source.list(f"/api/v1/{path}/secrets")), METADATA_PAGE)
    expected += pages(len(source.list(f"/apis/cert-manager.io/v1/{path}/certificates")), METADATA_PAGE)
    for name in TARGETS:
        target = world.sandbox.cluster(name).admin
        sizes = (len(target.secrets(namespace)) for namespace in NAMESPACES)
        expected += IDENTITY + sum(pages(size, METADATA_PAGE) for size in sizes)
    return expected


def pages(items: int, limit: int) -> int:
    """An empty list is a page too."""
    return max(1, math.ceil(items / limit))
