"""What many renewals at once cost the watcher, and how many of its requests wait for one another."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any, NamedTuple

from deployments.sandbox.progress import Say
from deployments.sandbox.world.cert_manager import SOURCE_NAMESPACE, Issuer
from deployments.sandbox.world.kubeconfig import SOURCE_CLUSTER
from deployments.sandbox.world.oracle import ACCOUNT
from tests.benchmarks.results import Result
from tests.benchmarks.usage import cpu_of, usage
from tests.benchmarks.world import TARGETS, World
from tests.support.waiting import until
from tests.support.watcher_process import Arrivals, may_watch, watcher

BURST = 300
BURST_S, ROUND_TRIPS = 4.0, 2
REQUESTS_PER_COPY = 1.05
SINGLE = 10
"""Renewals one after the other, of which the one with the fewest round trips counts: two requests that are
sent at the same time may be answered one after the other."""
WRITERS = 16
"""Threads that put renewed Secrets on OPS."""


class Interval(NamedTuple):
    """One request of an audit log."""

    begin: datetime
    end: datetime


class Times(NamedTuple):
    """Seconds of a burst."""

    seconds: float
    """To the last copy."""
    written: float
    """Until OPS had the last renewal."""
    cpu: float
    """Of the watcher."""
    servers_cpu: float
    own_cpu: float
    """Of this process, which puts the renewals on OPS and follows the copies."""


def bursts(world: World, api: str, say: Say) -> list[Result]:
    """300 renewals at once, and single ones; each must arrive on every target."""
    world.resize(BURST)
    ops = world.sandbox.cluster(SOURCE_CLUSTER).admin
    arrivals = Arrivals({name: world.sandbox.cluster(name).admin for name in TARGETS})
    with may_watch(ops), watcher(world.directory, PREFECT_API_URL=api) as process:
        watching = [process.process.pid]
        secrets = [
            one for one in ops.secrets(SOURCE_NAMESPACE) if one["metadata"]["name"] in world.certificates
        ]
        until("the watcher's start", lambda: all(map(arrivals.are_complete, secrets)))
        say(f"watcher: {SINGLE} renewals one by one")
        trips = []
        for number in range(SINGLE):
            renewed = Issuer().renew(secrets[number])
            positions = _positions(world)
            ops.replace(renewed)
            arrivals.wait(renewed)
            trips.append(longest_chain(_requests(world, positions)))
            secrets[number] = renewed
            time.sleep(1)
        say(f"watcher: {BURST} renewals at once")
        renewed_all = [Issuer().renew(one) for one in secrets]
        positions = _positions(world)
        with usage(world.sandbox.pids) as used:
            before, begin = cpu_of(watching), time.perf_counter()
            with ThreadPoolExecutor(WRITERS) as pool:
                list(pool.map(ops.replace, renewed_all))
            written = time.perf_counter() - begin
            seconds = max(map(arrivals.wait, renewed_all)) - begin
            cpu = cpu_of(watching) - before
        requests = {name: len(_entries(world, name, since)) for name, since in positions.items()}
    arrivals.close()
    times = Times(seconds, written, cpu, used.servers_cpu, used.own_cpu)
    return _results(trips, times, requests)


def longest_chain(requests: Sequence[Interval]) -> int:
    """Return the largest number of requests of which each began after the one before had been answered."""
    chain, free_from = 0, None
    for one in sorted(requests, key=lambda request: request.end):
        if free_from is None or one.begin >= free_from:
            chain, free_from = chain + 1, one.end
    return chain


def _positions(world: World) -> dict[str, int]:
    return {name: len(world.sandbox.cluster(name).audit()) for name in (SOURCE_CLUSTER, *TARGETS)}


def _entries(world: World, cluster: str, since: int) -> list[dict[str, Any]]:
    """The watcher's requests, but for its watch of OPS."""
    return [
        one
        for one in world.sandbox.cluster(cluster).audit()[since:]
        if one["user"]["username"] == ACCOUNT
        and one["stage"] == "ResponseComplete"
        and one["verb"] != "watch"
    ]


def _requests(world: World, positions: dict[str, int]) -> list[Interval]:
    entries = [one for name, since in positions.items() for one in _entries(world, name, since)]
    return [Interval(*(datetime.fromisoformat(one[key]) for key in _TIMES)) for one in entries]


_TIMES = ("requestReceivedTimestamp", "stageTimestamp")


def _results(trips: list[int], times: Times, requests: dict[str, int]) -> list[Result]:
    copies = BURST * len(TARGETS)
    per_copy = sum(requests[name] for name in TARGETS) / copies
    reads = requests[SOURCE_CLUSTER] / BURST
    met = times.seconds <= BURST_S and per_copy <= REQUESTS_PER_COPY and reads <= 2
    return [
        Result(
            key="watch_round_trips",
            what="watcher, from a renewal to the write: requests that wait for one another",
            value=min(trips),
            unit="",
            ours=str(min(trips)),
            demand=f"at most {ROUND_TRIPS}",
            met=min(trips) <= ROUND_TRIPS,
            details={"each": trips},
        ),
        Result(
            key="watch_burst_s",
            what=f"watcher, {BURST} renewals at once to the last of 3 clusters",
            value=round(times.seconds, 2),
            unit=" s",
            ours=f"{times.seconds:.2f} s",
            demand=f"at most {BURST_S:.0f} s, {REQUESTS_PER_COPY} requests per copy, 2 per Secret on OPS",
            met=met,
            details={
                "requests_per_copy": round(per_copy, 3),
                "requests_on_ops_per_certificate": round(reads, 3),
                "seconds_to_put_them_on_ops": round(times.written, 2),
                "cpu_seconds_of_the_watcher": round(times.cpu, 2),
                "servers_cpu_seconds": round(times.servers_cpu, 2),
                "cpu_seconds_of_the_benchmark": round(times.own_cpu, 2),
            },
        ),
    ]
