"""What an unchanged run costs Prefect's server: CPU of its process, and the requests that it gets."""

import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from deployments.sandbox.demo.prefect_server import RECORDER, PrefectServer, prefect_server
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
FEW, MANY, BEFORE = "few clusters", "many clusters", "many clusters, as it was"
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
ONE_BY_ONE = dict.fromkeys(RECORDER, "1")
"""The server, as it was: each state of a task run is a transaction."""

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
        proxy, own = TcpProxy(self.prefect.port, keep=True), self.prefect.client_settings
        pod = replace(flow, environment=flow.environment | own).as_pod()
        with tcp_proxy(proxy) as url:
            api = url.replace("https://", "http://") + "/api"
            through = replace(pod, environment=pod.environment | {"PREFECT_API_URL": api})
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
    with fleet(world, many, say) as clusters, _server_as_it_was(world, say) as old:
        say(f"server: what both take without a run, {size.server_idle_seconds:g} s")
        now, before = _idling((prefect, old), size.server_idle_seconds)
        for _ in range(3):  # one copies, one writes notes, one has the artifacts that repeat
            clusters.flow(many).run_in_pod()
        say(f"server: unchanged runs of {few} and {many} clusters, {size.server_rounds} rounds")
        runs = {
            FEW: partial(_run, clusters, few, partial(now.serve, command=POD), say),
            MANY: partial(_run, clusters, many, partial(now.serve, command=POD), say),
            BEFORE: partial(_run, clusters, many, partial(before.serve, command=EVERY_ARTIFACT), say),
        }
        taken = in_rounds(runs, size.server_rounds)
    return _results(taken, few, many, now.idle)


@contextmanager
def _server_as_it_was(world: World, say: Say) -> Iterator[PrefectServer]:
    """A second server, while the environment of this process stays that of the first."""
    directory, environment = world.directory / "server-as-it-was", dict(os.environ)
    directory.mkdir()
    with prefect_server(directory, **ONE_BY_ONE) as server:
        os.environ.clear()
        os.environ.update(environment)
        server.wait(say)
        yield server


def _idling(servers: Sequence[PrefectServer], duration: float) -> list[Server]:
    before = [Server(one, 0.0).cpu for one in servers]
    time.sleep(duration)
    spent = [Server(one, 0.0).cpu - cpu for one, cpu in zip(servers, before, strict=True)]
    return [Server(one, cpu / duration) for one, cpu in zip(servers, spent, strict=True)]


def _run(clusters: Fleet, number: int, serve: Callable[[FlowProcess], Served], say: Say) -> Served:
    served = serve(clusters.flow(number))
    say(f"server: {number} clusters: {served.cpu:.2f} s of CPU, {served.requests.total()} requests")
    return served


def _results(taken: Mapping[str, Sequence[Served]], few: int, many: int, idle: float) -> list[Result]:
    what = "unchanged run in a pod, {} clusters: CPU of Prefect's server"
    cpus = {name: [one.cpu for one in served] for name, served in taken.items()}
    facts = {"idle_cpu_seconds_per_second": round(idle, 4), "before": _facts(taken[BEFORE])}
    against = "the same / as it was: every artifact written, one transaction per task state"
    return [
        _cpu("prefect_server_cpu_s", what.format(few), taken[FEW]),
        _cpu("prefect_server_cpu_many_s", what.format(many), taken[MANY]),
        at_most("prefect_server_cpu_vs_before", against, Pair(cpus[MANY], cpus[BEFORE]), TIMES, facts),
    ]


def _cpu(key: str, what: str, served: Sequence[Served]) -> Result:
    cpus = [one.cpu for one in served]
    requests = middle(one.requests.total() for one in served)
    other = f"{requests:g} requests, {middle(one.events for one in served):g} events"
    return Result(key, what, middle(cpus), seconds(cpus), other, " s", details=_facts(served))


def _facts(served: Sequence[Served]) -> dict[str, Any]:
    """Medians."""
    names = sorted({name for one in served for name in one.requests})
    return {
        "cpu_seconds": [one.cpu for one in served],
        "requests": {name: middle(one.requests[name] for one in served) for name in names},
        "events": middle(one.events for one in served),
    }
