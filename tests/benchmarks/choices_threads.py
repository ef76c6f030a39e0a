"""How many clusters side by side, and how many connections to each: all pairs, beside the pair in use.

Each request takes 20 ms on its way, as threads are there for waiting. One API server stands behind all.
Nothing is demanded: the best pair for many clusters is not the best for one, and the pair in use is for both.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import product
from statistics import median
from unittest.mock import patch

from deployments.sandbox.progress import Say
from flows.tls_sync import SIDE_BY_SIDE
from tasks.domain.models import Action
from tasks.kubeconfig import reader
from tasks.kubeconfig.reader import CONNECTIONS
from tasks.target import sync, write
from tests.benchmarks.delivering import deliver_all
from tests.benchmarks.fleet import Fleet, fleet
from tests.benchmarks.results import Result
from tests.benchmarks.sizes import Size
from tests.benchmarks.world import World
from tests.support.tcp_proxy import black_hole

LATENCY = 0.02
IN_USE = (SIDE_BY_SIDE, CONNECTIONS)

Taken = dict[tuple[int, int], list[float]]
"""Seconds by clusters side by side and connections to each."""


def threads(world: World, size: Size, say: Say) -> list[Result]:
    world.resize(size.threads_certificates)
    pairs = list(product(size.threads_side_by_side, size.threads_connections))
    first, unchanged, holes = ({pair: list[float]() for pair in pairs} for _ in range(3))
    with fleet(world, size.threads_clusters, say, everything=True, latency=LATENCY) as many:
        for turn in range(size.threads_rounds):
            for pair in pairs if turn % 2 else pairs[::-1]:
                _measure(many, size, pair, first[pair], unchanged[pair])
                took = f"first sync {first[pair][-1]:.2f} s, unchanged {unchanged[pair][-1]:.2f} s"
                say(f"threads: {pair[0]} clusters x {pair[1]} connections: {took}")
        for pair in pairs:
            if pair[1] == IN_USE[1]:
                holes[pair].append(_with_black_holes(many, size, pair))
    copies = size.threads_clusters * size.threads_certificates
    return [
        _result("first_sync", f"first sync, {copies} copies, 20 ms away", first, size),
        _result("unchanged", f"unchanged, {copies} copies, 20 ms away", unchanged, size, holes),
    ]


def _measure(many: Fleet, size: Size, pair: tuple[int, int], first: list[float], same: list[float]) -> None:
    copies = size.threads_clusters * size.threads_certificates
    many.empty()
    with many.orders(size.threads_clusters) as orders, _connections(pair[1]):
        for action, taken in ((Action.CREATE, first), (Action.KEEP, same)):
            begun = time.perf_counter()
            deliver_all(orders, action, copies, pair[0])
            taken.append(round(time.perf_counter() - begun, 3))


def _with_black_holes(many: Fleet, size: Size, pair: tuple[int, int]) -> float:
    """An unchanged look, where some clusters answer no connection attempt."""
    clusters, lost = size.threads_clusters, size.threads_black_holes
    with black_hole() as nowhere, _connections(pair[1]):
        gone = dict.fromkeys(many.names[:: clusters // lost][:lost], nowhere)
        with many.orders(clusters, gone) as orders:
            begun = time.perf_counter()
            deliver_all(
                orders, Action.KEEP, (clusters - lost) * size.threads_certificates, pair[0], lost=lost
            )
            return round(time.perf_counter() - begun, 3)


@contextmanager
def _connections(number: int) -> Iterator[None]:
    with ExitStack() as stack:
        for module in (sync, write, reader):
            stack.enter_context(patch.object(module, "CONNECTIONS", number))
        yield


def _result(key: str, what: str, taken: Taken, size: Size, holes: Taken | None = None) -> Result:
    medians = {pair: median(times) for pair, times in taken.items()}
    best = min(medians, key=medians.__getitem__)
    ratio = round(medians[IN_USE] / medians[best], 2)
    return Result(
        key=f"threads_{key}",
        what=f"{what}: {IN_USE[0]} clusters x {IN_USE[1]} connections / best",
        value=ratio,
        unit="x",
        ours=f"{medians[IN_USE]:.2f} s",
        other=f"{medians[best]:.2f} s ({best[0]} x {best[1]})",
        details={
            "seconds": _named(medians),
            "in_use": f"{IN_USE[0]}x{IN_USE[1]}",
            "clusters": size.threads_clusters,
            "black_holes": size.threads_black_holes,
            "black_holes_seconds": _named({pair: median(t) for pair, t in (holes or {}).items() if t}),
        },
    )


def _named(medians: dict[tuple[int, int], float]) -> dict[str, float]:
    return {f"{side}x{connections}": round(taken, 3) for (side, connections), taken in medians.items()}
