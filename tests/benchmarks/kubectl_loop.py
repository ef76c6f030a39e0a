"""The loop that most people have in a CronJob, timed on the same servers with the same rights."""

import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from deployments.sandbox.binaries import locate
from deployments.sandbox.errors import SandboxError
from deployments.sandbox.progress import Say, Waiting
from tests.benchmarks.world import COPIES, TARGETS, Copy, World, copies

SCRIPT = Path(__file__).with_name("kubectl-loop.sh")
SAMPLE = 20


def time_loop(world: World, say: Say, *, quick: bool) -> float:
    """Seconds for all copies into empty targets; with `quick`, for a sample, extrapolated linearly."""
    home = world.directory / "kubectl-home"
    home.mkdir(exist_ok=True)
    environment = {
        **os.environ,
        **world.environment,
        "KUBECTL": str(locate("kubectl", say=say)["kubectl"]),
        "HOME": str(home),
    }
    wanted = copies()
    # kubectl keeps what it has learnt about a cluster's API in its home: that is not held against it.
    world.empty()
    _run(wanted[:: COPIES // len(TARGETS)], environment, say)
    world.empty()
    timed = wanted[:: COPIES // SAMPLE] if quick else wanted
    taken = _run(timed, environment, say)
    if (written := world.count_copies()) != len(timed):
        raise SandboxError(f"the kubectl loop wrote {written} of {len(timed)} copies")
    return round(taken * COPIES / len(timed), 1)


def _run(wanted: Sequence[Copy], environment: dict[str, str], say: Say) -> float:
    lines = "".join(f"{copy.certificate} {copy.cluster} {copy.namespace}\n" for copy in wanted)
    waiting = Waiting(f"kubectl loop over {len(wanted)} copies", say)
    begin = time.perf_counter()
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
    taken = time.perf_counter() - begin
    if process.returncode:
        raise SandboxError(f"the kubectl loop ended with status {process.returncode}")
    return taken
