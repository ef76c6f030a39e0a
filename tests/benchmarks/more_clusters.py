"""Growth: 3, 30, 300 clusters with one certificate each; and 300 with thirty black holes among them."""

from deployments.sandbox.progress import Say
from tasks.config.limits import CLUSTER_SECONDS
from tests.benchmarks.fleet import Fleet, fleet
from tests.benchmarks.flow_process import SELDOM, Run
from tests.benchmarks.growth import COSTS, grown
from tests.benchmarks.results import Result
from tests.benchmarks.sizes import Size
from tests.benchmarks.usage import cpu_of
from tests.benchmarks.world import World
from tests.support.tcp_proxy import black_hole


def growth(world: World, size: Size, say: Say) -> list[Result]:
    """Whole runs as processes: how many clusters a run serves at a time matters only there."""
    world.resize(size.certificates)
    points, runs = [], []
    with fleet(world, size.growth_clusters[-1], say) as many:
        before = cpu_of([many.fronts.pid])
        for clusters in size.growth_clusters:
            first, unchanged = _both(many, clusters, say)
            costs = (first.seconds, first.cpu, unchanged.seconds, unchanged.cpu)
            points.append({"clusters": clusters} | dict(zip(COSTS, costs, strict=True)))
            runs.append({"clusters": clusters, "first_sync": first.facts, "unchanged": unchanged.facts})
        extra = {"whole_runs": runs, "fronts_cpu_seconds": round(cpu_of([many.fronts.pid]) - before, 2)}
        result = grown("growth_clusters", "clusters", points, extra)
        holes = [_with_black_holes(many, size, first, say)] if size.black_holes else []
        return [result, *holes]


def _both(many: Fleet, clusters: int, say: Say) -> tuple[Run, Run]:
    many.empty()
    flow = many.flow(clusters)
    first, unchanged = (flow.counted(lambda: flow.run(SELDOM, say)) for _ in range(2))
    say(f"growth: {clusters} clusters: first sync {first.seconds} s, unchanged {unchanged.seconds} s")
    return first, unchanged


def _with_black_holes(many: Fleet, size: Size, healthy: Run, say: Say) -> Result:
    """How much longer a run takes, and whether all other clusters are served."""
    clusters, holes = size.growth_clusters[-1], size.black_holes
    say(f"fleet: {clusters} clusters, {holes} of them black holes")
    many.empty()
    with black_hole() as nowhere:
        lost = dict.fromkeys(many.names[:: clusters // holes][:holes], nowhere)
        run = many.flow(clusters, lost).run(SELDOM, say)
    longer = round(run.seconds - healthy.seconds, 1)
    served = many.copies
    return Result(
        key="fleet_black_holes_s",
        what=f"{clusters} clusters, {holes} of them black holes: longer by",
        value=longer,
        unit=" s",
        ours=f"{run.seconds} s",
        other=f"{healthy.seconds} s",
        demand=f"at most {CLUSTER_SECONDS:g} s, {clusters - holes} served",
        met=longer <= CLUSTER_SECONDS and served == clusters - holes,
        details={"served": served, "peak_flow_mib": run.peak.mib, "black_holes": run.facts},
    )
