"""The flow as a process of its own, measured from its start to its exit."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any

from deployments.sandbox import processes
from deployments.sandbox.demo.prefect_server import ROOT
from deployments.sandbox.errors import SandboxError
from deployments.sandbox.progress import Say, Waiting
from flows.execute import VARIABLE
from tests.benchmarks import requests_made
from tests.benchmarks.memory import Peak
from tests.benchmarks.usage import Cost, cpu_of, usage
from tests.benchmarks.world import World, noting_runs
from tests.support.tcp_proxy import TcpProxy

RUN_SECONDS = 900
POLL_SECONDS = 0.01
FLOWS = ("-m", "flows")
POD = ("-m", "flows.execute")
"""The command of a run's pod, without the interpreter; its environment names the run."""


@dataclass(frozen=True)
class Sampling:
    """Seconds between two samples of memory. Those of shared pages take the process some milliseconds."""

    peaks: float
    shared: float = float("inf")


OFTEN, OFTEN_IN_POD = Sampling(0.01), Sampling(0.01, 0.1)
SELDOM, SELDOM_IN_POD = Sampling(0.2), Sampling(0.2, 0.5)
"""For runs of minutes."""


NOT_SEEN = Cost(0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Run:
    seconds: float
    cpu: float
    """Seconds, of the run's processes."""
    servers_cpu: float
    peak: Peak
    start: Cost = NOT_SEEN
    """What it took before its first connection to OPS, where that was looked for: nearly all imports."""
    requests: int = 0
    """To the API servers, where they were counted."""

    @property
    def cost(self) -> Cost:
        return Cost(self.seconds, self.cpu, self.servers_cpu)

    @property
    def facts(self) -> dict[str, Any]:
        return {
            "seconds": self.seconds,
            "cpu_seconds": self.cpu,
            "servers_cpu_seconds": self.servers_cpu,
            "requests": self.requests,
            "peak_mib": self.peak.mib,
            "start_cpu_seconds": self.start.cpu,
        }


def median_facts(runs: Sequence[Run]) -> dict[str, Any]:
    return {key: round(median(run.facts[key] for run in runs), 2) for key in runs[0].facts}


@dataclass(frozen=True)
class FlowProcess:
    """`environment` names other files than the world's; `copied` says whether all copies are there."""

    world: World
    environment: dict[str, str] = field(default_factory=dict)
    copied: Callable[[], bool] | None = None
    succeeds: bool = True
    """Whether the run must be Completed; else it must be Failed, and copy what it can."""
    ops: TcpProxy | None = None
    """In front of OPS, where the kubeconfig leads through it."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    """Of the run in a pod."""

    def run(self, sampling: Sampling | None = None, say: Say | None = None) -> Run:
        """`python -m flows`. Without `sampling`, its memory is not measured, which would take CPU."""
        return self.measure(FLOWS, sampling, say)

    def run_in_pod(self, sampling: Sampling | None = None, say: Say | None = None) -> Run:
        """What the container of a Kubernetes job runs."""
        return self.as_pod().measure(POD, sampling, say)

    def settle(self, copies: int) -> None:
        """Run until so many copies in each cluster have their notes, of which a run writes only some."""
        for _ in range(noting_runs(copies)):
            self.run_in_pod()

    def as_pod(self) -> "FlowProcess":
        """With a run for it to execute."""
        return replace(
            self, environment={**self.environment, **pod_environment(self.environment, self.parameters)}
        )

    def counted(self, run: Callable[[], Run]) -> Run:
        """Run, and count the requests meanwhile."""
        before = requests_made.count(self.world.sandbox)
        done = run()
        return replace(done, requests=requests_made.count(self.world.sandbox) - before)

    def measure(
        self, arguments: Sequence[str], sampling: Sampling | None = None, say: Say | None = None
    ) -> Run:
        log = self.world.directory / "flow.log"
        log.unlink(missing_ok=True)
        with usage(self.world.sandbox.pids) as used:
            process = processes.spawn([sys.executable, *arguments], log, ROOT, self.environment)
            try:
                first = _FirstConnection(self.ops, process.pid)
                peak = _wait(process, sampling, first, Waiting("run", say or (lambda _: None)))
                if process.poll() is None:
                    raise SandboxError(f"the flow does not end:\n{processes.tail(log)}")
            finally:
                processes.stop(process)
        # A pod ends well where Prefect knows how the run went, even if that is Failed.
        succeeds = self.succeeds or arguments == POD
        if (process.returncode == 0) != succeeds or not (self.copied or self._all_copied)():
            raise SandboxError(f"the flow did not copy what it should:\n{processes.tail(log)}")
        seconds, cpu = round(used.seconds, 2), round(used.children_cpu, 2)
        return Run(seconds, cpu, round(used.servers_cpu, 2), peak, first.start)

    def _all_copied(self) -> bool:
        return self.world.count_copies() == len(self.world.copies)


def pod_environment(
    settings: Mapping[str, str] | None = None, parameters: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Create a run of a deployment, and return what Prefect's worker gives its pod."""
    command = [sys.executable, "-m", "tests.benchmarks.deployment", json.dumps(dict(parameters or {}))]
    environment = {**os.environ, **(settings or {})}
    made = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True)
    return {VARIABLE: made.stdout.split()[-1]}


class _FirstConnection:
    """Notes what a run has taken when it first connects to OPS."""

    def __init__(self, ops: TcpProxy | None, process: int) -> None:
        self._ops, self._process, self._begin = ops, process, time.perf_counter()
        self._before = ops.connections if ops else 0
        self.start = NOT_SEEN

    @property
    def is_awaited(self) -> bool:
        return self._ops is not None and self.start is NOT_SEEN

    def look(self) -> None:
        if self._ops and self.is_awaited and self._ops.connections > self._before:
            self.start = Cost(time.perf_counter() - self._begin, cpu_of([self._process]), 0.0)


def _wait(
    process: processes.Process, sampling: Sampling | None, first: _FirstConnection, waiting: Waiting
) -> Peak:
    """Wait for the end of the process, RUN_SECONDS at most; return its memory."""
    peak, end = Peak(), time.monotonic() + RUN_SECONDS
    next_shared = time.monotonic() if sampling and sampling.shared < RUN_SECONDS else end
    next_peak = time.monotonic() if sampling else end
    while process.poll() is None and time.monotonic() < end:
        first.look()
        now = time.monotonic()
        if sampling and now >= next_peak:
            peak.sample(process.pid, shared=now >= next_shared)
            next_peak = now + sampling.peaks
            if now >= next_shared:
                next_shared = now + sampling.shared
        waiting.tick()
        time.sleep(sampling.peaks if sampling and not first.is_awaited else POLL_SECONDS)
    return peak
