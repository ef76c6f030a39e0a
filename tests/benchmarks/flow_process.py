"""The flow as a process of its own, watched from its start to its exit."""

import subprocess
import sys
import time
from dataclasses import dataclass

from deployments.sandbox import processes
from deployments.sandbox.errors import SandboxError
from deployments.sandbox.prefect_server import ROOT
from tests.benchmarks.memory import Peak
from tests.benchmarks.world import COPIES, World

RUN_SECONDS = 180
LOOK_SECONDS = 0.01
DEEP_LOOK_SECONDS = 0.1


@dataclass(frozen=True)
class FlowProcess:
    world: World

    def run(self) -> float:
        """Seconds of `python -m flows`, from its start to its exit."""
        return self._watch(["-m", "flows"])

    def peak(self) -> Peak:
        """The memory of `python -m flows`."""
        peak = Peak()
        self._watch(["-m", "flows"], peak)
        return peak

    def peak_in_a_pod(self) -> Peak:
        """What the container of a Kubernetes job runs: a supervisor, which starts the engine."""
        command = [sys.executable, "-m", "tests.benchmarks.deployment"]
        made = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
        run_id = made.stdout.split()[-1]
        peak = Peak()
        self._watch(["-m", "prefect", "flow-run", "execute", run_id], peak, deeply=True)
        return peak

    def _watch(self, arguments: list[str], peak: Peak | None = None, *, deeply: bool = False) -> float:
        """A run that is timed is not looked at: that would take a share of the cores."""
        log = self.world.directory / "flow.log"
        log.unlink(missing_ok=True)
        begin = time.perf_counter()
        process = processes.spawn([sys.executable, *arguments], log, ROOT)
        try:
            next_deep = begin if deeply else float("inf")
            while process.poll() is None:
                now = time.perf_counter()
                if now - begin > RUN_SECONDS:
                    raise SandboxError(f"the flow does not end:\n{processes.tail(log)}")
                if peak is not None:
                    peak.look(process.pid, deeply=now >= next_deep)
                if now >= next_deep:
                    next_deep = now + DEEP_LOOK_SECONDS
                time.sleep(LOOK_SECONDS)
        finally:
            processes.stop(process)
        taken = time.perf_counter() - begin
        if process.returncode or self.world.count_copies() != COPIES:
            raise SandboxError(f"the flow did not copy all:\n{processes.tail(log)}")
        return round(taken, 2)
