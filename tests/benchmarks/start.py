"""The start of a run and the cost of an unchanged one, beside `import prefect`: by hand, and in its pod."""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import yaml

from deployments.sandbox.demo.prefect_server import ROOT
from deployments.sandbox.progress import Say
from deployments.sandbox.world.kubeconfig import SOURCE_CLUSTER, context_name
from tests.benchmarks.comparison import Pair, at_most, judged, seconds
from tests.benchmarks.flow_process import FLOWS, POD, pod_environment
from tests.benchmarks.results import Result
from tests.benchmarks.rounds import in_rounds
from tests.benchmarks.world import World
from tests.support.tcp_proxy import TcpProxy, tcp_proxy

MORE_S = 0.4
FIRST_REQUEST_TIMES, CPU_TIMES = 1.15, 1.5
POLL_SECONDS = 0.002
IMPORT = ("-c", "import prefect")


@dataclass(frozen=True)
class Start:
    """In seconds."""

    first_request: float
    """To OPS; of a process that makes none, its end."""
    cpu: float


def starts(world: World, say: Say, times: int) -> list[Result]:
    """Each run finds everything in sync."""
    say(f"start: {times} rounds of a run by hand, one in a pod, and an import of prefect")
    proxy = TcpProxy(world.sandbox.cluster(SOURCE_CLUSTER).admin.address[1])
    whole = world.kubeconfig.read_text()
    with tcp_proxy(proxy) as url:
        try:
            world.kubeconfig.write_text(_through(whole, url))
            parties = {
                "by hand": lambda: _start(proxy, FLOWS),
                "in a pod": lambda: _start(proxy, POD, pod_environment()),
                "import": lambda: _start(proxy, IMPORT),
            }
            taken = in_rounds(parties, times)
        finally:
            world.kubeconfig.write_text(whole)
    by_hand, pods, imports = taken.values()
    return [
        _difference([one.first_request for one in by_hand], [one.first_request for one in imports]),
        at_most(
            "pod_first_request_vs_import",
            "from the pod's start to its first request / import prefect",
            Pair([one.first_request for one in pods], [one.first_request for one in imports]),
            FIRST_REQUEST_TIMES,
        ),
        at_most(
            "pod_cpu_vs_import",
            "CPU of an unchanged run in its pod / import prefect",
            Pair([one.cpu for one in pods], [one.cpu for one in imports]),
            CPU_TIMES,
        ),
    ]


def _difference(ours: Sequence[float], other: Sequence[float]) -> Result:
    result = Result(
        key="start_beyond_import_s",
        what="by hand, from the process's start to its first request / import prefect",
        value=round(statistics.median(ours) - statistics.median(other), 2),
        unit=" s more",
        ours=seconds(ours),
        other=seconds(other),
        demand=f"at most {MORE_S} s more",
        details={"ours_seconds": ours, "other_seconds": other},
    )
    more = [one - two for one, two in zip(ours, other, strict=True)]
    return judged(result, more, lambda one: one <= MORE_S)


def _through(kubeconfig: str, url: str) -> str:
    """The kubeconfig with OPS at this address."""
    document = yaml.safe_load(kubeconfig)
    for entry in document["clusters"]:
        if entry["name"] == context_name(SOURCE_CLUSTER):
            entry["cluster"]["server"] = url
    return str(yaml.safe_dump(document))


def _start(proxy: TcpProxy, arguments: Sequence[str], variables: Mapping[str, str] | None = None) -> Start:
    before, begin, first = proxy.connections, time.perf_counter(), 0.0
    nowhere, environment = subprocess.DEVNULL, {**os.environ, **(variables or {})}
    process = subprocess.Popen(
        [sys.executable, *arguments], cwd=ROOT, env=environment, stdout=nowhere, stderr=nowhere
    )
    while True:
        ended, _, used = os.wait4(process.pid, os.WNOHANG)
        if not first and (ended or proxy.connections > before):
            first = time.perf_counter() - begin
        if ended:
            process.returncode = 0  # it is waited for already
            return Start(round(first, 3), round(used.ru_utime + used.ru_stime, 3))
        time.sleep(POLL_SECONDS)
