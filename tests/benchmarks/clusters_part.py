"""The clusters' part of a run, three at once as in the flow but without Prefect, against the floor."""

import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from deployments.sandbox.errors import SandboxError
from deployments.sandbox.progress import Say
from tasks.delivery import deliver
from tasks.models import Action
from tasks.order import Order
from tasks.retry import CLUSTER_SECONDS
from tests.benchmarks import recording, replay
from tests.benchmarks.replay import CONCURRENCIES, Floor
from tests.benchmarks.results import Pair, Result, seconds
from tests.benchmarks.world import COPIES, World


@dataclass(frozen=True)
class Bench:
    """What both measurements need."""

    world: World
    orders: tuple[Order, ...]
    program: Path
    say: Say
    quick: bool = False

    def deliver_all(self, expected: Action) -> float:
        """Seconds for all clusters; every copy must have come to the end expected of it."""
        begin = time.perf_counter()
        with ThreadPoolExecutor(len(self.orders)) as pool:
            reports = list(pool.map(lambda order: deliver(order, _deadline()), self.orders))
        taken = time.perf_counter() - begin
        done = sum(report.counts.get(expected, 0) for report in reports)
        if done != COPIES or not all(report.ok for report in reports):
            failures = "; ".join(str(failure) for report in reports for failure in report.failures)
            raise SandboxError(f"{done} of {COPIES} copies came to {expected}: {failures or 'no failure'}")
        return taken

    def floor(self, requests: list[recording.Request], name: str) -> Floor:
        file = recording.write(requests, self.world.directory / f"{name}.jsonl")
        return Floor(self.program, self.world.directory / "ca.pem", file)

    def write_floor(self, floor: Floor) -> float:
        (taken,) = floor.run()
        if (written := self.world.count_copies()) != COPIES:
            raise SandboxError(f"the floor wrote {written} of {COPIES} copies")
        return taken


def prepare(world: World, say: Say, *, quick: bool) -> Bench:
    (world.directory / "ca.pem").write_bytes(world.sandbox.cluster("ops").ca_pem)
    return Bench(world, world.orders(), replay.build(world.directory), say, quick)


def first_sync(bench: Bench) -> Result:
    """Both begin with empty targets and without a connection; ours also reads, plans and checks."""
    bench.world.empty()
    with recording.recording() as requests:
        bench.deliver_all(Action.CREATE)
    floor = bench.floor([request for request in requests if request.method == "PATCH"], "first-sync")
    tried: dict[int, float] = {}
    for concurrency in CONCURRENCIES:
        times = [_from_empty(bench, floor.at(concurrency)) for _ in range(2)]
        tried[concurrency] = round(min(times), 3)
        bench.say(f"first sync: the floor with {concurrency} requests at a time takes {seconds(times)}")
    floor = floor.at(min(tried, key=tried.__getitem__))
    ours, other = [], []
    repetitions = 5 if bench.quick else 11
    for turn in range(1, repetitions + 1):
        bench.world.empty()
        ours.append(bench.deliver_all(Action.CREATE))
        other.append(_from_empty(bench, floor))
        took = f"ours {ours[-1]:.2f} s, floor {other[-1]:.2f} s"
        bench.say(f"first sync, {turn} of {repetitions}: {took}")
    pair = Pair(ours, other)
    return Result(
        key="first_sync_vs_floor",
        what=f"first sync, {COPIES} copies: ours / floor",
        value=pair.ratio,
        unit="x",
        ours=seconds(ours),
        other=seconds(other),
        demand="at most 2x",
        met=pair.ratio <= 2,
        details=pair.details | {"floor_concurrency": floor.concurrency, "floor_tried_seconds": tried},
    )


def unchanged(bench: Bench) -> Result:
    """Everything is in sync already. The floor also opens its connections anew, as each hourly run must."""
    bench.world.empty()
    bench.deliver_all(Action.CREATE)
    with recording.recording() as requests:
        bench.deliver_all(Action.KEEP)
    if writes := sum(request.method == "PATCH" for request in requests):
        raise SandboxError(f"an unchanged run made {writes} writes")
    floor = bench.floor(requests, "unchanged")
    tried = {n: round(min(floor.at(n).run()[0] for _ in range(5)), 4) for n in CONCURRENCIES}
    floor = floor.at(min(tried, key=tried.__getitem__))
    bench.say("unchanged: ours and the floor in turn")
    ours, other, kept = [], [], []
    for _ in range(9 if bench.quick else 25):
        ours.append(bench.deliver_all(Action.KEEP))
        cold, warm = floor.run(passes=2)
        other.append(cold)
        kept.append(warm)
    pair = Pair(ours, other)
    return Result(
        key="unchanged_vs_floor",
        what="unchanged, the clusters' part: ours / floor",
        value=pair.ratio,
        unit="x",
        ours=seconds(ours),
        other=seconds(other),
        details=pair.details
        | {
            "requests": len(requests),
            "floor_concurrency": floor.concurrency,
            "floor_on_open_connections_seconds": round(statistics.median(kept), 4),
        },
    )


def _from_empty(bench: Bench, floor: Floor) -> float:
    bench.world.empty()
    return bench.write_floor(floor)


def _deadline() -> float:
    return time.monotonic() + CLUSTER_SECONDS
