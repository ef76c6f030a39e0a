"""The flow as a process of its own, watched from its start to its exit."""

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deployments.sandbox import processes
from deployments.sandbox.demo.prefect_server import ROOT
from deployments.sandbox.errors import SandboxError
from deployments.sandbox.progress import Say, Waiting
from tests.benchmarks import requests_made
from tests.benchmarks.memory import Peak
from tests.benchmarks.usage import usage
from tests.benchmarks.world import World

RUN_SECONDS = 900
LOOK_SECONDS = 0.01
DEEP_LOOK_SECONDS = 0.1
RARE_LOOKS = (0.2, 0.5)
"""Seconds between two looks, and between two deep ones."""
FLOWS = ("-m", "flows")


@dataclass(frozen=True)
class Run:
    """A whole run, from the start of its process to its exit."""

    seconds: float
    cpu: float
    """Seconds, of the run's processes."""
    servers_cpu: float
    peak: Peak
    requests: int = 0
    """Of the API servers, where they were counted."""

    @property
    def mib(self) -> float:
        """Of its largest process."""
        return self.peak.mib

    @property
    def facts(self) -> dict[str, Any]:
        return {
            "seconds": self.seconds,
            "cpu_seconds": self.cpu,
            "servers_cpu_seconds": self.servers_cpu,
            "requests": self.requests,
            "peak_mib": self.mib,
        }


@dataclass(frozen=True)
class FlowProcess:
    """`environment` names other files than the world's; `copied` says whether all lies where it should."""

    world: World
    environment: dict[str, str] = field(default_factory=dict)
    copied: Callable[[], bool] | None = None
    succeeds: bool = True
    """Whether the run should; else it must fail, and copy what it can."""

    def run(self) -> Run:
        """`python -m flows`, not looked at: that would take a share of the cores."""
        return self._watch(FLOWS)

    def looked_at(self, say: Say | None = None) -> Run:
        """`python -m flows` with its memory."""
        return self._watch(FLOWS, RARE_LOOKS[0], say=say)

    def closely(self) -> Run:
        return self._watch(FLOWS, LOOK_SECONDS)

    def counted(self, run: Callable[[], Run]) -> Run:
        """The same, with the requests that it made."""
        before = requests_made.settled(self.world.sandbox)
        done = run()
        made = requests_made.settled(self.world.sandbox) - before
        return Run(done.seconds, done.cpu, done.servers_cpu, done.peak, made)

    def in_a_pod(self, say: Say | None = None, *, rarely: bool = False) -> Run:
        """What the container of a Kubernetes job runs: a supervisor, which starts the engine.

        A run of minutes is looked at rarely: a deep look keeps it from its work.
        """
        command = [sys.executable, "-m", "tests.benchmarks.deployment"]
        made = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
        execute = ("-m", "prefect", "flow-run", "execute", made.stdout.split()[-1])
        looks = RARE_LOOKS if rarely else (LOOK_SECONDS, DEEP_LOOK_SECONDS)
        return self._watch(execute, *looks, say)

    def _watch(
        self,
        arguments: Sequence[str],
        look: float = 0.0,
        look_deeply: float = float("inf"),
        say: Say | None = None,
    ) -> Run:
        log = self.world.directory / "flow.log"
        log.unlink(missing_ok=True)
        peak = Peak()
        with usage(self.world.sandbox.pids) as used:
            process = processes.spawn([sys.executable, *arguments], log, ROOT, self.environment)
            try:
                _attend(process, log, peak if look else None, (look or LOOK_SECONDS, look_deeply), say)
            finally:
                processes.stop(process)
        if (process.returncode == 0) != self.succeeds or not (self.copied or self._all_copied)():
            raise SandboxError(f"the flow did not copy what it should:\n{processes.tail(log)}")
        return Run(round(used.seconds, 2), round(used.children_cpu, 2), round(used.servers_cpu, 2), peak)

    def _all_copied(self) -> bool:
        return self.world.count_copies() == len(self.world.copies)


def _attend(
    process: processes.Process, log: Path, peak: Peak | None, looks: tuple[float, float], say: Say | None
) -> None:
    """Until the process ends; `looks` are the seconds between two looks, and between two deep ones."""
    waiting = Waiting("run", say or (lambda _: None))
    begin = time.monotonic()
    next_deep = begin if looks[1] < RUN_SECONDS else float("inf")
    while process.poll() is None:
        now = time.monotonic()
        if now - begin > RUN_SECONDS:
            raise SandboxError(f"the flow does not end:\n{processes.tail(log)}")
        if peak is not None:
            peak.look(process.pid, deeply=now >= next_deep)
        if now >= next_deep:
            next_deep = now + looks[1]
        waiting.tick()
        time.sleep(looks[0])
