"""Seconds from a renewal on OPS to the last of three clusters, with the watcher and its records."""

import random
import statistics
import time
from itertools import cycle, islice

from deployments.sandbox.demo.prefect_server import PrefectServer
from deployments.sandbox.errors import SandboxError
from deployments.sandbox.progress import Say
from deployments.sandbox.world.cert_manager import SOURCE_NAMESPACE, Issuer
from deployments.sandbox.world.kubeconfig import SOURCE_CLUSTER
from tests.benchmarks.results import Result
from tests.benchmarks.world import TARGETS, World
from tests.support.waiting import until
from tests.support.watcher_process import Arrivals, may_watch, watcher

APART = (1.2, 1.8)
"""Seconds between two renewals, so that none meets the record of the one before."""
P50_S, P95_S = 0.3, 0.6


def latencies(world: World, server: PrefectServer, say: Say, count: int) -> list[Result]:
    """Each renewal must arrive, in order, and be recorded in Prefect: reports that wait share a run."""
    ops = world.sandbox.cluster(SOURCE_CLUSTER).admin
    arrivals = Arrivals({name: world.sandbox.cluster(name).admin for name in TARGETS})
    with may_watch(ops), watcher(world.directory, PREFECT_API_URL=server.api) as process:
        say(f"watcher: {count} renewals, one after the other, about {count * 2} s")
        secrets = {one["metadata"]["name"]: one for one in ops.secrets(SOURCE_NAMESPACE)}
        until("the watcher's start", lambda: all(map(arrivals.are_complete, secrets.values())))
        recorded = 1  # the record of its start
        until("its record", lambda: _records(server) >= recorded)
        taken = []
        for name in islice(cycle(sorted(secrets)), count):
            secrets[name] = renewed = Issuer().renew(secrets[name])
            time.sleep(random.uniform(*APART))
            begin = time.perf_counter()
            ops.replace(renewed)
            taken.append(arrivals.wait(renewed) - begin)
    arrivals.close()  # the watcher has written its last record when it ends
    lost = "records lost" in process.output
    if process.process.returncode or lost or not all(map(arrivals.are_complete, secrets.values())):
        raise SandboxError(
            f"the watcher did not end well, a copy is old or a record lost:\n{process.output[-2000:]}"
        )
    return _results(taken, _records(server) - recorded, len(world.copies))


def _records(server: PrefectServer) -> int:
    ours = {"flows": {"name": {"any_": ["tls-sync-watch"]}}}
    return int(server.answer("/api/flow_runs/count", ours) or 0)


def _results(taken: list[float], records: int, copies: int) -> list[Result]:
    median, high = statistics.median(taken), statistics.quantiles(taken, n=20)[-1]
    details = {
        "renewals": len(taken),
        "records_in_prefect": records,
        "seconds": [round(one, 4) for one in taken],
        "worst_seconds": round(max(taken), 4),
        "copies_at_rest": copies,
    }
    what = "from a renewal to the last of 3 clusters"
    return [
        Result(
            key=key,
            what=f"watcher, {what}: {title}",
            value=round(value, 3),
            unit=" s",
            ours=f"{value:.3f} s",
            demand=f"at most {demand} s",
            met=value <= demand,
            details=details,
        )
        for key, title, value, demand in (
            ("watch_p50_s", "median", median, P50_S),
            ("watch_p95_s", "95 %", high, P95_S),
        )
    ]
