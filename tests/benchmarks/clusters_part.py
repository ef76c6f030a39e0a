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
from tasks.target.sync import deliver
from tests.benchmarks import recording
from tests.benchmarks.replay import CONCURRENCIES, Floor
from tests.benchmarks.results import Pair, Result, seconds
from tests.benchmarks.sizes import Size
from tests.benchmarks.usage import Usage, middle, usage
from tests.benchmarks.world import World

FIRST_TIMES, UNCHANGED_TIMES = 1.5, 4


@dataclass(frozen=True)
class Bench:
    """What both measurements need."""

    world: World
    orders: tuple[SyncSpec, ...]
    program: Path
    say: Say
    size: Size

    def ours(self, expected: Action) -> Usage:
        with usage(self.world.sandbox.pids) as used:
            deliver_all(self.world, self.orders, expected)
        return used

    def floor(self, requests: list[recording.Request], name: str) -> Floor:
        file = recording.write(requests, self.world.directory / f"{name}.jsonl")
        return Floor(self.program, self.world.ca, file)

    def from_empty(self, floor: Floor) -> tuple[float, Usage]:
        """Its start does not count as time; it does as CPU, and is next to nothing."""
        self.world.empty()
        with usage(self.world.sandbox.pids) as used:
            (taken,) = floor.run()
        if (written := self.world.count_copies()) != len(self.world.copies):
            raise SandboxError(f"the floor wrote {written} of {len(self.world.copies)} copies")
        return taken, used


def deliver_all(world: World, orders: Sequence[SyncSpec], expected: Action) -> None:
    """Every copy must have come to the end expected of it."""
    with ThreadPoolExecutor(len(orders)) as pool:
        reports = list(pool.map(lambda order: deliver(order, time.monotonic() + CLUSTER_SECONDS), orders))
    done = sum(report.counts.get(expected, 0) for report in reports)
    if done != len(world.copies) or not all(report.ok for report in reports):
        failures = "; ".join(str(failure) for report in reports for failure in report.failures)
        told = failures or "no failure"
        raise SandboxError(f"{done} of {len(world.copies)} copies came to {expected}: {told}")


def first_sync(bench: Bench) -> Result:
    """Both begin with empty targets and without a connection; ours also reads, plans and checks."""
    bench.world.empty()
    with recording.recording() as requests:
        deliver_all(bench.world, bench.orders, Action.CREATE)
    floor = bench.floor([request for request in requests if request.method == "PATCH"], "first-sync")
    tried: dict[int, float] = {}
    for concurrency in CONCURRENCIES:
        times = [bench.from_empty(floor.at(concurrency))[0] for _ in range(min(2, bench.size.floor_trials))]
        tried[concurrency] = round(min(times), 3)
        bench.say(f"first sync: the floor with {concurrency} requests at a time takes {seconds(times)}")
    floor = floor.at(min(tried, key=tried.__getitem__))
    ours, other = [], []
    for turn in range(1, bench.size.first_syncs + 1):
        bench.world.empty()
        ours.append(bench.ours(Action.CREATE))
        other.append(bench.from_empty(floor))
        took = f"ours {ours[-1].seconds:.2f} s, floor {other[-1][0]:.2f} s"
        bench.say(f"first sync, {turn} of {bench.size.first_syncs}: {took}")
    pair = Pair([one.seconds for one in ours], [taken for taken, _ in other])
    return Result(
        key="first_sync_vs_floor",
        what=f"first sync, {len(bench.world.copies)} copies: ours / floor",
        value=pair.ratio,
        unit="x",
        ours=seconds(pair.ours),
        other=seconds(pair.other),
        demand=f"at most {FIRST_TIMES}x",
        met=pair.ratio <= FIRST_TIMES,
        details=pair.details
        | {"floor_concurrency": floor.concurrency, "floor_tried_seconds": tried}
        | _cpu(ours, [used for _, used in other]),
    )


def unchanged(bench: Bench) -> Result:
    """Everything is in sync already. The floor also opens its connections anew, as each hourly run must."""
    bench.world.empty()
    deliver_all(bench.world, bench.orders, Action.CREATE)
    with recording.recording() as requests:
        deliver_all(bench.world, bench.orders, Action.KEEP)
    if writes := sum(request.method == "PATCH" for request in requests):
        raise SandboxError(f"an unchanged run made {writes} writes")
    floor = bench.floor(requests, "unchanged")
    trials = range(bench.size.floor_trials)
    tried = {n: round(min(floor.at(n).run()[0] for _ in trials), 4) for n in CONCURRENCIES}
    floor = floor.at(min(tried, key=tried.__getitem__))
    bench.say("unchanged: ours and the floor in turn")
    ours, other, kept, spent = [], [], [], []
    for _ in range(bench.size.unchanged):
        ours.append(bench.ours(Action.KEEP))
        with usage(bench.world.sandbox.pids) as used:
            cold, warm = floor.run(passes=2)
        other.append(cold)
        kept.append(warm)
        # Two passes: half of it is one.
        spent.append(Usage(children_cpu=used.children_cpu / 2, servers_cpu=used.servers_cpu / 2))
    pair = Pair([one.seconds for one in ours], other)
    return Result(
        key="unchanged_vs_floor",
        what="unchanged, the clusters' part: ours / floor",
        value=pair.ratio,
        unit="x",
        ours=seconds(pair.ours),
        other=seconds(other),
        demand=f"at most {UNCHANGED_TIMES}x",
        met=pair.ratio <= UNCHANGED_TIMES,
        details=pair.details
        | {
            "requests": len(requests),
            "floor_concurrency": floor.concurrency,
            "floor_on_open_connections_seconds": round(statistics.median(kept), 4),
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
