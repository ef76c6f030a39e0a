"""Growth: 10, 100, 1,000 certificates, each on three clusters.

Reading OPS and the clusters' part are timed without Prefect: the start of a run takes seconds, and would hide
the growth. Whole runs as in a pod, with their requests and memory, are measured once beside it.
"""

from deployments.sandbox.progress import Say
from tasks.domain.models import Action
from tests.benchmarks.clusters_part import deliver_all
from tests.benchmarks.flow_process import SELDOM, FlowProcess
from tests.benchmarks.growth import COSTS, grown
from tests.benchmarks.results import Result
from tests.benchmarks.sizes import Size
from tests.benchmarks.usage import Usage, middle, usage
from tests.benchmarks.world import TARGETS, World, noting_runs


def growth(world: World, size: Size, say: Say) -> Result:
    points, runs = [], []
    for certificates in size.growth_certificates:
        say(f"growth: {certificates} certificates on OPS")
        world.resize(certificates)
        points.append({"certificates": certificates} | _part(world, size.growth_repetitions))
        costs = ", ".join(f"{key.replace('_', ' ')} {points[-1][key]}" for key in COSTS)
        say(f"growth: {certificates} certificates: {costs}")
        runs.append({"certificates": certificates} | _whole(world, say))
    extra = {"whole_runs": runs, "clusters": len(TARGETS), "repetitions": size.growth_repetitions}
    return grown("growth_certificates", "certificates", points, extra)


def _part(world: World, repetitions: int) -> dict[str, float]:
    """Medians of both kinds of run."""
    first, unchanged = [], []
    for _ in range(repetitions):
        world.empty()
        first.append(_once(world, Action.CREATE))
        for _ in range(noting_runs(len(world.certificates))):
            _once(world, Action.KEEP)
        unchanged += [_once(world, Action.KEEP) for _ in range(2)]
    return _medians("first_sync", first) | _medians("unchanged", unchanged)


def _once(world: World, expected: Action) -> Usage:
    with usage(world.sandbox.pids) as used:
        deliver_all(world, world.specs(), expected)
    return used


def _medians(name: str, used: list[Usage]) -> dict[str, float]:
    return {
        f"{name}_seconds": middle(one.seconds for one in used),
        f"{name}_cpu_seconds": middle(one.own_cpu for one in used),
        f"{name}_servers_cpu_seconds": middle(one.servers_cpu for one in used),
    }


def _whole(world: World, say: Say) -> dict[str, dict[str, float]]:
    flow = FlowProcess(world)
    world.empty()
    first = flow.counted(lambda: flow.run_in_pod(SELDOM, say))
    flow.settle(len(world.certificates))
    unchanged = flow.counted(lambda: flow.run_in_pod(SELDOM, say))
    return {"first_sync": first.facts, "unchanged": unchanged.facts}
