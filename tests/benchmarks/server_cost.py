"""What an unchanged run costs Prefect's server: CPU of its process, and the requests that it gets."""

import re
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from deployments.sandbox.demo.prefect_server import PrefectServer
from deployments.sandbox.progress import Say
from tests.benchmarks.comparison import Pair, at_most, seconds
from tests.benchmarks.fleet import Fleet, fleet
from tests.benchmarks.flow_process import POD, FlowProcess
from tests.benchmarks.results import Result
from tests.benchmarks.rounds import in_rounds
from tests.benchmarks.sizes import Size
from tests.benchmarks.usage import cpu_of, middle
from tests.benchmarks.world import World
from tests.support.tcp_proxy import TcpProxy, tcp_proxy

SETTLE_SECONDS = 7.0
"""After a run, until the server has stored all of it: it gathers events for five seconds."""
LEAST = 0.01
"""CPU seconds: what Linux counts is no finer."""
TIMES = 0.5
_EVERY_ARTIFACT = """
import sys
from flows import execute
from tasks.orchestration import artifacts, publish
create = artifacts.create_artifacts
publish.create_artifacts = lambda report, everything: create(report, everything=True)
sys.exit(execute.main())
"""
EVERY_ARTIFACT = ("-c", _EVERY_ARTIFACT)
"""The pod's command, as it was before a cluster without news kept its artifact."""

_REQUEST = re.compile(rb"(?:GET|POST|PATCH|PUT|DELETE) /api/(\S*) HTTP/1\.1\r\n")
KINDS = {"artifacts": "artifacts", "logs/": "logs", "set_state": "states", "events/": "events"}
"""A part of the path -> the kind; all others read or name the run. A connection for events is one request."""


@dataclass(frozen=True)
class Served:
    """What the server did for one run."""

    cpu: float
    requests: Counter[str]
    events: int


@dataclass(frozen=True)
class Server:
    prefect: PrefectServer
    idle: float
    """CPU seconds per second, without a run."""

    @property
    def cpu(self) -> float:
        process = self.prefect.process
        return cpu_of([process.pid]) if process else 0.0

    def serve(self, flow: FlowProcess, command: Sequence[str]) -> Served:
        proxy = TcpProxy(self.prefect.port, keep=True)
        with tcp_proxy(proxy) as url:
            api = url.replace("https://", "http://") + "/api"
            through = replace(flow, environment={**flow.environment, "PREFECT_API_URL": api})
            through = through.as_pod()
            before, began, since = self.cpu, time.monotonic(), datetime.now(UTC)
            through.measure(command)
            time.sleep(SETTLE_SECONDS)
            spent = self.cpu - before - self.idle * (time.monotonic() - began)
        return Served(max(round(spent, 3), LEAST), kinds(bytes(proxy.kept)), self._events(since))

    def _events(self, since: datetime) -> int:
        found = self.prefect.answer(
            "/api/events/filter", {"filter": {"occurred": {"since": since.isoformat()}}, "limit": 1}
        )
        return int(found["total"]) if found else 0


def kinds(sent: bytes) -> Counter[str]:
    """Count the requests in what a client sent to Prefect's API. Pure."""
    paths = (path.decode() for path in _REQUEST.findall(sent))
    return Counter(next((kind for part, kind in KINDS.items() if part in path), "others") for path in paths)


def costs(world: World, prefect: PrefectServer, say: Say, size: Size) -> list[Result]:
    few, many = size.server_clusters
    world.resize(size.certificates)
    with fleet(world, many, say) as clusters:
        server = Server(prefect, _idle(prefect, size.server_idle_seconds, say))
        taken = _rounds(server, clusters, (few, many), size.server_rounds, say)
    return _results(taken, few, many, server.idle)


def _idle(prefect: PrefectServer, duration: float, say: Say) -> float:
    say(f"server: what it takes without a run, {duration:g} s")
    server, begin = Server(prefect, 0.0), time.monotonic()
    before = server.cpu
    time.sleep(duration)
    return (server.cpu - before) / (time.monotonic() - begin)


Party = tuple[int, Sequence[str]]


def _rounds(
    server: Server, clusters: Fleet, sizes: tuple[int, int], rounds: int, say: Say
) -> dict[Party, list[Served]]:
    few, many = sizes
    clusters.flow(many).run_in_pod()  # copies, so that the others find everything in sync
    say(f"server: unchanged runs of {few} and {many} clusters, {rounds} rounds")

    def serve(number: int, command: Sequence[str]) -> Served:
        served = server.serve(clusters.flow(number), command)
        say(f"server: {number} clusters: {served.cpu:.2f} s of CPU, {served.requests.total()} requests")
        return served

    parties: list[Party] = [(few, POD), (many, POD), (many, EVERY_ARTIFACT)]
    return in_rounds({party: partial(serve, *party) for party in parties}, rounds)


def _results(taken: dict[Party, list[Served]], few: int, many: int, idle: float) -> list[Result]:
    what = "an unchanged run in a pod"
    some, most, everything = (taken[party] for party in ((few, POD), (many, POD), (many, EVERY_ARTIFACT)))
    facts = {"idle_cpu_seconds_per_second": round(idle, 4), "every_artifact": _facts(everything)}
    return [
        _cpu("prefect_server_cpu_s", f"{what}, {few} clusters: CPU of Prefect's server", some),
        _cpu("prefect_server_cpu_many_s", f"{what}, {many} clusters: CPU of Prefect's server", most),
        at_most(
            "prefect_server_cpu_vs_artifacts",
            "the same / where every cluster's artifact is written",
            Pair([one.cpu for one in most], [one.cpu for one in everything]),
            TIMES,
            facts,
        ),
    ]


def _cpu(key: str, what: str, served: Sequence[Served]) -> Result:
    cpus = [one.cpu for one in served]
    requests = middle(one.requests.total() for one in served)
    other = f"{requests:g} requests, {middle(one.events for one in served):g} events"
    return Result(key, what, middle(cpus), seconds(cpus), other, " s", details=_facts(served))


def _facts(served: Sequence[Served]) -> dict[str, Any]:
    """Medians."""
    names: Iterable[str] = sorted({name for one in served for name in one.requests})
    return {
        "cpu_seconds": [one.cpu for one in served],
        "requests": {name: middle(one.requests[name] for one in served) for name in names},
        "events": middle(one.events for one in served),
    }
