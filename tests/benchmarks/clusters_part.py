"""The clusters' part of a run, three at once as in the flow but without Prefect, against the floor."""

import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deployments.sandbox.errors import SandboxError
from deployments.sandbox.progress import Say
from tasks.config.limits import CLUSTER_SECONDS
from tasks.domain.models import Action
from tasks.plan.spec import SyncSpec
from tasks.target.sync import sync
from tests.benchmarks import recording, replay
from tests.benchmarks.replay import CONCURRENCIES, Floor
from tests.benchmarks.results import Pair, Result, at_most
from tests.benchmarks.sizes import Size
from tests.benchmarks.usage import Usage, middle, usage
from tests.benchmarks.world import World

FIRST_TIMES, UNCHANGED_TIMES = 1.5, 4


@dataclass(frozen=True)
class Bench:
    """What both measurements need."""

    world: World
    specs: tuple[SyncSpec, ...]
    program: Path
    say: Say
    size: Size

    def deliver(self, expected: Action) -> Usage:
        with usage(self.world.sandbox.pids) as used:
            deliver_all(self.world, self.specs, expected)
        return used

    def floor(self, requests: list[recording.Request], name: str) -> Floor:
        file = recording.write(requests, self.world.directory / f"{name}.jsonl")
        return Floor(self.program, self.world.ca, file)

    def first_sync_of(self, floor: Floor) -> tuple[float, Usage]:
        """Seconds without the program's start; its CPU has the start in it, which is next to nothing."""
        self.world.empty()
        with usage(self.world.sandbox.pids) as used:
            (taken,) = floor.run()
        if (written := self.world.count_copies()) != len(self.world.copies):
            raise SandboxError(f"the floor wrote {written} of {len(self.world.copies)} copies")
        return taken, used


def compare(world: World, say: Say, size: Size) -> list[Result]:
    bench = Bench(world, world.specs(), replay.build(world.directory), say, size)
    return [first_sync(bench), unchanged(bench)]


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


def first_sync(bench: Bench) -> Result:
    """Both start with empty targets and no connection; ours also reads, plans and checks."""
    bench.world.empty()
    with recording.recording() as requests:
        bench.deliver(Action.CREATE)
    floor = bench.floor([request for request in requests if request.method == "PATCH"], "first-sync")
    tried: dict[int, float] = {}
    for concurrency in CONCURRENCIES:
        trials = range(min(2, bench.size.floor_trials))
        tried[concurrency] = round(min(bench.first_sync_of(floor.at(concurrency))[0] for _ in trials), 3)
        bench.say(f"first sync: the floor with {concurrency} requests at a time: {tried[concurrency]} s")
    floor = floor.at(min(tried, key=tried.__getitem__))
    ours, other = [], []
    for turn in range(1, bench.size.first_syncs + 1):
        bench.world.empty()
        ours.append(bench.deliver(Action.CREATE))
        other.append(bench.first_sync_of(floor))
        took = f"ours {ours[-1].seconds:.2f} s, floor {other[-1][0]:.2f} s"
        bench.say(f"first sync, {turn} of {bench.size.first_syncs}: {took}")
    return at_most(
        "first_sync_vs_floor",
        f"first sync, {len(bench.world.copies)} copies: ours / floor",
        Pair([one.seconds for one in ours], [taken for taken, _ in other]),
        FIRST_TIMES,
        {"floor_concurrency": floor.concurrency, "floor_tried_seconds": tried}
        | _cpu(ours, [used for _, used in other]),
    )


def unchanged(bench: Bench) -> Result:
    """Everything is in sync already. The floor opens its connections anew too, as each hourly run must."""
    bench.world.empty()
    bench.deliver(Action.CREATE)
    with recording.recording() as requests:
        bench.deliver(Action.KEEP)
    if writes := sum(request.method == "PATCH" for request in requests):
        raise SandboxError(f"an unchanged run made {writes} writes")
    floor = bench.floor(requests, "unchanged")
    trials = range(bench.size.floor_trials)
    tried = {n: round(min(floor.at(n).run()[0] for _ in trials), 4) for n in CONCURRENCIES}
    floor = floor.at(min(tried, key=tried.__getitem__))
    bench.say("unchanged: ours and the floor in turn")
    ours, other, on_open_connections, spent = [], [], [], []
    for _ in range(bench.size.unchanged):
        ours.append(bench.deliver(Action.KEEP))
        with usage(bench.world.sandbox.pids) as used:
            cold, warm = floor.run(passes=2)
        other.append(cold)
        on_open_connections.append(warm)
        # Half of the CPU of two passes is that of one.
        spent.append(Usage(children_cpu=used.children_cpu / 2, servers_cpu=used.servers_cpu / 2))
    return at_most(
        "unchanged_vs_floor",
        "unchanged, the clusters' part: ours / floor",
        Pair([one.seconds for one in ours], other),
        UNCHANGED_TIMES,
        {
            "requests": len(requests),
            "floor_concurrency": floor.concurrency,
            "floor_on_open_connections_seconds": round(statistics.median(on_open_connections), 4),
        }
        | _cpu(ours, spent),
    )


def _cpu(ours: Sequence[Usage], floor: Sequence[Usage]) -> dict[str, Any]:
    """Medians."""
    return {
        "cpu_seconds": {
            "ours": middle(one.own_cpu for one in ours),
            "floor": middle(one.children_cpu for one in floor),
            "servers during ours": middle(one.servers_cpu for one in ours),
            "servers during the floor": middle(one.servers_cpu for one in floor),
        }
    }
