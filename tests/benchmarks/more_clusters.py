"""Growth: 3, 30, 300 clusters with one certificate each; and 300 with thirty black holes among them."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from deployments.sandbox.progress import Say
from tasks.config.limits import CLUSTER_SECONDS
from tests.benchmarks.fleet import Fleet, fleet
from tests.benchmarks.flow_process import SELDOM, Run, median_facts
from tests.benchmarks.growth import grown
from tests.benchmarks.results import Result
from tests.benchmarks.rounds import in_rounds
from tests.benchmarks.sizes import Size
from tests.benchmarks.usage import cpu_of, middle
from tests.benchmarks.world import World
from tests.support.tcp_proxy import black_hole

Both = tuple[Run, Run]
"""A first sync, and an unchanged run."""


def growth(world: World, size: Size, say: Say) -> list[Result]:
    """Whole runs as in a pod: how many clusters a run serves at a time matters only there.

    The start would hide the growth, so each run's own is left out; its CPU is listed beside it.
    """
    world.resize(size.certificates)
    with fleet(world, size.growth_clusters[-1], say) as many:
        before = cpu_of([many.fronts.pid])
        sizes = {clusters: partial(_both, many, clusters, say) for clusters in size.growth_clusters}
        taken = in_rounds(sizes, size.growth_repetitions)
        extra = {"repetitions": size.growth_repetitions, "fronts_cpu_seconds": _since(before, many)}
        result = _grown(taken, extra)
        healthy = result.details["whole_runs"][-1]["first_sync"]["seconds"]
        return [result, *([_with_black_holes(many, size, healthy, say)] if size.black_holes else [])]


def _since(before: float, many: Fleet) -> float:
    return round(cpu_of([many.fronts.pid]) - before, 2)


def _grown(taken: Mapping[int, Sequence[Both]], extra: dict[str, Any]) -> Result:
    points, runs = [], []
    for clusters, pairs in taken.items():
        first, unchanged = (list(some) for some in zip(*pairs, strict=True))
        costs = _without_start("first_sync", first) | _without_start("unchanged", unchanged)
        kinds = {"first_sync": median_facts(first), "unchanged": median_facts(unchanged)}
        points.append({"clusters": clusters} | costs)
        runs.append({"clusters": clusters} | kinds)
    facts = {"whole_runs": runs, "start_left_out": True}
    return grown("growth_clusters", "clusters", points, facts | extra)


def _both(many: Fleet, clusters: int, say: Say) -> Both:
    many.empty()
    flow = many.flow(clusters)
    first = flow.counted(lambda: flow.run_in_pod(SELDOM, say))
    flow.settle(1)
    unchanged = flow.counted(lambda: flow.run_in_pod(SELDOM, say))
    say(f"growth: {clusters} clusters: first sync {first.seconds} s, unchanged {unchanged.seconds} s")
    return first, unchanged


def _without_start(name: str, runs: Sequence[Run]) -> dict[str, float]:
    """Medians."""
    return {
        f"{name}_seconds": middle(run.seconds - run.start.seconds for run in runs),
        f"{name}_cpu_seconds": middle(run.cpu - run.start.cpu for run in runs),
    }


def _with_black_holes(many: Fleet, size: Size, healthy: float, say: Say) -> Result:
    """How much longer a run takes, and whether all other clusters are served."""
    clusters, holes = size.growth_clusters[-1], size.black_holes
    say(f"fleet: {clusters} clusters, {holes} of them black holes")
    many.empty()
    with black_hole() as nowhere:
        lost = dict.fromkeys(many.names[:: clusters // holes][:holes], nowhere)
        run = many.flow(clusters, lost).run_in_pod(SELDOM, say)
    longer = round(run.seconds - healthy, 1)
    served = many.count(many.names)
    return Result(
        key="fleet_black_holes_s",
        what=f"{clusters} clusters, {holes} of them black holes: longer by",
        value=longer,
        unit=" s",
        ours=f"{run.seconds} s",
        other=f"{healthy} s",
        demand=f"at most {CLUSTER_SECONDS:g} s, {clusters - holes} served",
        met=longer <= CLUSTER_SECONDS and served == clusters - holes,
        details={"served": served, "peak_flow_mib": run.peak.mib, "black_holes": run.facts},
    )
