"""The start and the cost of an unchanged run, against `import prefect` alone: by hand, and in its pod."""

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
from tests.benchmarks.flow_process import FLOWS, POD, pod_environment
from tests.benchmarks.results import Pair, Result, at_most, seconds
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
    """In turn, so that all have the same load; each run finds everything in sync."""
    say(f"start: {times} runs by hand, {times} in a pod, and {times} imports of prefect")
    proxy = TcpProxy(world.sandbox.cluster(SOURCE_CLUSTER).admin.address[1])
    whole = world.kubeconfig.read_text()
    with tcp_proxy(proxy) as url:
        try:
            world.kubeconfig.write_text(_through(whole, url))
            rounds = [
                (_start(proxy, FLOWS), _start(proxy, POD, pod_environment()), _start(proxy, IMPORT))
                for _ in range(times)
            ]
        finally:
            world.kubeconfig.write_text(whole)
    by_hand, pods, imports = zip(*rounds, strict=True)
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
    more = round(statistics.median(ours) - statistics.median(other), 2)
    return Result(
        key="start_beyond_import_s",
        what="from the process's start to its first request / import prefect",
        value=more,
        unit=" s more",
        ours=seconds(ours),
        other=seconds(other),
        demand=f"at most {MORE_S} s more",
        met=more <= MORE_S,
        details={"ours_seconds": ours, "other_seconds": other},
    )


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
