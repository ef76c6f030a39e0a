"""The kubectl loop that many have in a CronJob, on the same servers with the same permissions."""

import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deployments.sandbox.errors import SandboxError
from deployments.sandbox.programs.binaries import locate
from deployments.sandbox.progress import Say, Waiting
from tests.benchmarks.usage import Usage, usage
from tests.benchmarks.world import TARGETS, Copy, World

SCRIPT = Path(__file__).with_name("kubectl-loop.sh")


@dataclass(frozen=True)
class Loop:
    """Seconds for all copies; extrapolated where only some were made."""

    seconds: float
    cpu: float
    servers_cpu: float
    made: int


def time_loop(world: World, say: Say, sample: int | None) -> Loop:
    """All copies into empty targets, or a sample of that many."""
    home = world.directory / "kubectl-home"
    home.mkdir(exist_ok=True)
    environment = {
        **os.environ,
        **world.environment,
        "KUBECTL": str(locate("kubectl", say=say)["kubectl"]),
        "HOME": str(home),
    }
    wanted = world.copies
    # kubectl caches the API discovery of each cluster in its home; filling that cache is not timed.
    world.empty()
    _run(world, wanted[:: len(wanted) // len(TARGETS)], environment, say)
    world.empty()
    timed = wanted[:: max(1, len(wanted) // sample)] if sample else wanted
    used = _run(world, timed, environment, say)
    if (written := world.count_copies()) != len(timed):
        raise SandboxError(f"the kubectl loop wrote {written} of {len(timed)} copies")
    times = len(wanted) / len(timed)
    seconds, cpu, servers = (
        round(one * times, 1) for one in (used.seconds, used.children_cpu, used.servers_cpu)
    )
    return Loop(seconds, cpu, servers, len(timed))


def _run(world: World, wanted: Sequence[Copy], environment: dict[str, str], say: Say) -> Usage:
    lines = "".join(f"{copy.certificate} {copy.cluster} {copy.namespace}\n" for copy in wanted)
    waiting = Waiting(f"kubectl loop over {len(wanted)} copies", say)
    with usage(world.sandbox.pids) as used:
        status = _feed(lines, environment, waiting)
    if status:
        raise SandboxError(f"the kubectl loop ended with status {status}")
    return used


def _feed(lines: str, environment: dict[str, str], waiting: Waiting) -> int:
    command = ["bash", str(SCRIPT)]
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
