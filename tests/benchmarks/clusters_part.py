"""The clusters' part of a run, three at once as in the flow but without Prefect, against the floor."""

import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from deployments.sandbox.errors import SandboxError
from deployments.sandbox.progress import Say
from tasks.config.limits import CLUSTER_SECONDS
from tasks.domain.models import Action
from tasks.plan.spec import SyncSpec
from tasks.target.sync import sync
from tests.benchmarks import recording, replay
from tests.benchmarks.comparison import Pair, at_most, cpu_seconds, cpus, seconds_at_most, walls
from tests.benchmarks.replay import CONCURRENCIES, Floor
from tests.benchmarks.results import Result
from tests.benchmarks.rounds import in_rounds
from tests.benchmarks.sizes import Size
from tests.benchmarks.usage import Cost, usage
from tests.benchmarks.world import World, noting_runs

FIRST_TIMES, FIRST_CPU_S, UNCHANGED_TIMES = 1.4, 0.25, 4
OURS, FLOOR = "ours", "floor"


@dataclass(frozen=True)
class Bench:
    """What both measurements need."""

    world: World
    specs: tuple[SyncSpec, ...]
    program: Path
    say: Say
    size: Size

    def deliver(self, expected: Action) -> Cost:
        with usage(self.world.sandbox.pids) as used:
            deliver_all(self.world, self.specs, expected)
        return used.here

    def first_sync(self) -> Cost:
        self.world.empty()
        return self.deliver(Action.CREATE)

    def floor(self, requests: list[recording.Request], name: str) -> Floor:
        file = recording.write(requests, self.world.directory / f"{name}.jsonl")
        return Floor(self.program, self.world.ca, file)

    def first_sync_of(self, floor: Floor) -> Cost:
        """Seconds without the program's start; its CPU has the start in it, which is next to nothing."""
        self.world.empty()
        with usage(self.world.sandbox.pids) as used:
            (taken,) = floor.run()
        if (written := self.world.count_copies()) != len(self.world.copies):
            raise SandboxError(f"the floor wrote {written} of {len(self.world.copies)} copies")
        return replace(used.of_children, seconds=taken)


def compare(world: World, say: Say, size: Size) -> list[Result]:
    bench = Bench(world, world.specs(), replay.build(world.directory), say, size)
    return [*first_sync(bench), unchanged(bench)]


def deliver_all(world: World, specs: Sequence[SyncSpec], expected: Action) -> None:
    """Raise SandboxError unless the expected action was taken for every copy."""
    with ThreadPoolExecutor(len(specs)) as pool:
        reports = list(pool.map(lambda spec: sync(spec, time.monotonic() + CLUSTER_SECONDS), specs))
    done = sum(report.counts.get(expected, 0) for report in reports)
    if done != len(world.copies) or not all(report.ok for report in reports):
        failures = "; ".join(str(failure) for report in reports for failure in report.failures)
        raise SandboxError(
            f"{expected}: {done} of {len(world.copies)} copies; failures: {failures or 'none'}"
        )


def first_sync(bench: Bench) -> list[Result]:
    """Both start with empty targets and no connection; ours also reads, plans and checks."""
    bench.world.empty()
    with recording.recording() as requests:
        bench.deliver(Action.CREATE)
    floor = bench.floor([request for request in requests if request.method == "PATCH"], "first-sync")
    tried: dict[int, float] = {}
    for concurrency in CONCURRENCIES:
        trials = range(min(2, bench.size.floor_trials))
        tried[concurrency] = round(min(bench.first_sync_of(floor.at(concurrency)).seconds for _ in trials), 3)
        bench.say(f"first sync: the floor with {concurrency} requests at a time: {tried[concurrency]} s")
    floor = floor.at(min(tried, key=tried.__getitem__))
    bench.say(f"first sync: ours and the floor, {bench.size.first_syncs} rounds")
    parties = {OURS: bench.first_sync, FLOOR: lambda: bench.first_sync_of(floor)}
    taken = in_rounds(parties, bench.size.first_syncs)
    what = f"first sync, {len(bench.world.copies)} copies, the clusters' part"
    facts = {"floor_concurrency": floor.concurrency, "floor_tried_seconds": tried} | cpu_seconds(taken)
    pair = Pair(walls(taken[OURS]), walls(taken[FLOOR]))
    return [
        at_most("first_sync_vs_floor", f"{what}: ours / floor", pair, FIRST_TIMES, facts),
        seconds_at_most("first_sync_cpu_s", f"{what}: our CPU", cpus(taken[OURS]), FIRST_CPU_S),
    ]


def unchanged(bench: Bench) -> Result:
    """Everything is in sync already. The floor opens its connections anew too, as each hourly run must."""
    bench.first_sync()
    for _ in range(noting_runs(len(bench.world.certificates))):
        bench.deliver(Action.KEEP)
    with recording.recording() as requests:
        bench.deliver(Action.KEEP)
    if writes := sum(request.method == "PATCH" for request in requests):
        raise SandboxError(f"an unchanged run made {writes} writes")
    floor = bench.floor(requests, "unchanged")
    trials = range(bench.size.floor_trials)
    tried = {n: round(min(floor.at(n).run()[0] for _ in trials), 4) for n in CONCURRENCIES}
    floor = floor.at(min(tried, key=tried.__getitem__))
    bench.say(f"unchanged: ours and the floor, {bench.size.unchanged} rounds")
    warm: list[float] = []
    parties = {OURS: lambda: bench.deliver(Action.KEEP), FLOOR: lambda: _two_passes(bench, floor, warm)}
    taken = in_rounds(parties, bench.size.unchanged)
    facts = {
        "requests": len(requests),
        "floor_concurrency": floor.concurrency,
        "floor_on_open_connections_seconds": round(statistics.median(warm), 4),
    } | cpu_seconds(taken)
    pair = Pair(walls(taken[OURS]), walls(taken[FLOOR]))
    what = "unchanged, the clusters' part: ours / floor"
    return at_most("unchanged_vs_floor", what, pair, UNCHANGED_TIMES, facts)


def _two_passes(bench: Bench, floor: Floor, warm: list[float]) -> Cost:
    """The seconds of the first, which opens the connections, and half of the CPU of both."""
    with usage(bench.world.sandbox.pids) as used:
        cold, on_open_connections = floor.run(passes=2)
    warm.append(on_open_connections)
    return Cost(cold, used.children_cpu / 2, used.servers_cpu / 2)
