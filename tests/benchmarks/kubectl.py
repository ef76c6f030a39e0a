"""kubectl in a CronJob, on the same servers with the same permissions: a loop, and a script by an expert."""

import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from deployments.sandbox.errors import SandboxError
from deployments.sandbox.programs.binaries import locate
from deployments.sandbox.progress import Say, Waiting
from tests.benchmarks.usage import Cost, Usage, usage
from tests.benchmarks.world import TARGETS, Copy, World

LOOP, SCRIPT = (Path(__file__).with_name(f"kubectl-{name}.sh") for name in ("loop", "script"))


class Script:
    """All copies into empty targets, by the script."""

    def __init__(self, world: World, say: Say) -> None:
        self._world, self._say = world, say

    def time(self) -> Cost:
        return _run_from_empty(self._world, SCRIPT, self._world.copies, self._say).of_children


class Loop:
    """All copies into empty targets, one after the other; or a sample of them, extrapolated to all."""

    def __init__(self, world: World, say: Say, sample: int | None) -> None:
        wanted = world.copies
        self._world, self._say, self._copies = world, say, len(wanted)
        self._timed = wanted[:: max(1, len(wanted) // sample)] if sample else wanted
        # kubectl caches the API discovery of each cluster in its home; filling that cache is not timed.
        world.empty()
        _run(world, LOOP, wanted[:: len(wanted) // len(TARGETS)], say)

    @property
    def made(self) -> int:
        return len(self._timed)

    def time(self) -> Cost:
        used = _run_from_empty(self._world, LOOP, self._timed, self._say)
        costs = (used.seconds, used.children_cpu, used.servers_cpu)
        return Cost(*(round(one * self._copies / self.made, 1) for one in costs))


def _run_from_empty(world: World, program: Path, wanted: Sequence[Copy], say: Say) -> Usage:
    world.empty()
    used = _run(world, program, wanted, say)
    if (written := world.count_copies()) != len(wanted):
        raise SandboxError(f"{program.name} wrote {written} of {len(wanted)} copies")
    return used


def _run(world: World, program: Path, wanted: Sequence[Copy], say: Say) -> Usage:
    home = world.directory / "kubectl-home"
    home.mkdir(exist_ok=True)
    kubectl = str(locate("kubectl", say=lambda _: None)["kubectl"])
    environment = {**os.environ, **world.environment, "KUBECTL": kubectl, "HOME": str(home)}
    lines = "".join(f"{copy.certificate} {copy.cluster} {copy.namespace}\n" for copy in wanted)
    waiting = Waiting(f"{program.name} over {len(wanted)} copies", say)
    with usage(world.sandbox.pids) as used:
        status = _feed(program, lines, environment, waiting)
    if status:
        raise SandboxError(f"{program.name} ended with status {status}")
    return used


def _feed(program: Path, lines: str, environment: dict[str, str], waiting: Waiting) -> int:
    command = ["bash", str(program)]
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdin is not None
            process.stdin.write(lines)
            process.stdin.close()
            while process.poll() is None:
                waiting.tick()
                time.sleep(0.02)
        finally:
            process.kill()
    return process.returncode
