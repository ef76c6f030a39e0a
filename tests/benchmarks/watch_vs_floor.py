"""One renewal with the watcher, against the floor: a Go program that copies at the same event, and no more.

Both watch OPS at the same time, through the same front, with certificates of their own. A round renews one of
ours and one of the floor's, each while the other party has nothing to do.
"""

import random
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

from deployments.sandbox.clusters.admin import Admin
from deployments.sandbox.clusters.manifests import Manifest
from deployments.sandbox.demo.prefect_server import PrefectServer
from deployments.sandbox.progress import Say
from deployments.sandbox.world.cert_manager import SOURCE_NAMESPACE, Issuer
from deployments.sandbox.world.kubeconfig import SOURCE_CLUSTER
from tests.benchmarks import floor_watch
from tests.benchmarks.comparison import Pair, at_most, high_at_most
from tests.benchmarks.fronts import Front, fronts
from tests.benchmarks.results import Result
from tests.benchmarks.rounds import in_rounds
from tests.benchmarks.world import TARGETS, World
from tests.support.waiting import until
from tests.support.watcher_process import Arrivals, may_watch, watcher

CERTIFICATES = 5
"""Of each party."""
APART = (1.8, 2.4)
"""Seconds before a renewal. The watcher records the one before after one second, which takes some tenths."""
WARM_UP = 2
"""Rounds that do not count: the first renewals of a process find its code cold."""
DELAY_MS = 20
"""Added to each request by the front, as a network between sites has it."""
P50_TIMES, P95_TIMES, DELAYED_P50_TIMES = 1.6, 2.5, 1.4
OURS, FLOOR = "ours", "floor"

Samples = Mapping[str, Sequence[float]]
"""Seconds of each party, in the order of the rounds."""


class Renewals:
    """Renews the certificates of one party in turn."""

    def __init__(self, ops: Admin, arrivals: Arrivals, secrets: Iterable[Manifest]) -> None:
        self._ops, self._arrivals, self._secrets = ops, arrivals, deque(secrets)

    @property
    def are_copied(self) -> bool:
        return all(map(self._arrivals.are_complete, self._secrets))

    def next(self) -> float:
        """Seconds from a renewal on OPS to its last copy."""
        renewed = Issuer().renew(self._secrets.popleft())
        self._secrets.append(renewed)
        time.sleep(random.uniform(*APART))
        begin = time.perf_counter()
        self._ops.replace(renewed)
        return self._arrivals.wait(renewed) - begin


def compare(world: World, server: PrefectServer, say: Say, rounds: int) -> list[Result]:
    world.resize(CERTIFICATES)
    with floor_watch.certificates(world, CERTIFICATES), may_watch(world.ops):
        near, far = (_measure(world, server, say, rounds, delay_ms) for delay_ms in (0, DELAY_MS))
    return results(near, far)


def _measure(world: World, server: PrefectServer, say: Say, rounds: int, delay_ms: int) -> Samples:
    with _parties(world, server, delay_ms) as parties:
        say(f"watcher and floor, {delay_ms} ms more per request: {rounds} rounds, about {rounds * 5} s")
        until("the watcher's start", lambda: all(party.are_copied for party in parties.values()))
        taken = in_rounds({name: party.next for name, party in parties.items()}, WARM_UP + rounds)
    return {name: seconds[WARM_UP:] for name, seconds in taken.items()}


@contextmanager
def _parties(world: World, server: PrefectServer, delay_ms: int) -> Iterator[dict[str, Renewals]]:
    """Both parties' processes, and what renews their certificates."""
    names = (SOURCE_CLUSTER, *TARGETS)
    clusters = [Front(name, name, world.sandbox.cluster(name).admin.cluster_id()) for name in names]
    arrivals = Arrivals({name: world.sandbox.cluster(name).admin for name in TARGETS})
    with ExitStack() as stack:
        stack.callback(arrivals.close)
        addresses = stack.enter_context(fronts(world, clusters, delay_ms)).addresses
        kubeconfig = floor_watch.through(floor_watch.read_kubeconfig(world.kubeconfig), addresses)
        file = floor_watch.write_private(kubeconfig, world.directory / "watch-floor.kubeconfig")
        settings = {"KUBECONFIG": str(file), "PREFECT_API_URL": server.api}
        stack.enter_context(watcher(world.directory, name="watch-floor", **settings))
        stack.enter_context(floor_watch.floor_watch(world, kubeconfig))
        secrets = world.ops.secrets(SOURCE_NAMESPACE)
        theirs = [one for one in secrets if one["metadata"]["name"].startswith(floor_watch.PREFIX)]
        ours = [one for one in secrets if one["metadata"]["name"] in world.certificates]
        yield {OURS: Renewals(world.ops, arrivals, ours), FLOOR: Renewals(world.ops, arrivals, theirs)}


def results(near: Samples, far: Samples) -> list[Result]:
    """`far` was measured with the delay."""
    pair, delayed = (Pair(taken[OURS], taken[FLOOR]) for taken in (near, far))
    what = "watcher, from a renewal to the last of 3 clusters: ours / floor"
    later = f"the same with {DELAY_MS} ms more per request"
    return [
        at_most("watch_vs_floor_p50", f"{what}, median", pair, P50_TIMES),
        high_at_most("watch_vs_floor_p95", f"{what}, 95 %", pair, P95_TIMES),
        at_most(f"watch_{DELAY_MS}ms_vs_floor_p50", f"{later}, median", delayed, DELAYED_P50_TIMES),
    ]
