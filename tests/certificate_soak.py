"""Sixty certificates of two minutes: nothing is told while all is well, and every copy stays OPS's.

cert-manager renews each of them every 80 seconds. The watcher copies, and a run each minute finds nothing to
warn of. Part of `make soak`, for an hour; `python -m tests.certificate_soak --minutes 5` for a short look.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import pytest

from deployments.sandbox.cert_manager.resources import path_of
from deployments.sandbox.cert_manager.source import source
from deployments.sandbox.clusters.control_plane import Sandbox
from deployments.sandbox.demo.prefect_server import ROOT, prefect_server
from deployments.sandbox.progress import say
from tests.e2e.cert_manager.life import CA, Life, life_by
from tests.support.clusters import CLUSTERS, World
from tests.support.waiting import until

NAMES = tuple(f"web-{number:02}-tls" for number in range(60))
LIFE = {"duration": "2m", "renewBefore": "40s"}
LOUD = ("WARNING", "ERROR", "CRITICAL", "Traceback")


def soak(life: Life, minutes: float) -> list[str]:
    """Return what was said that should not have been, or what is wrong. `life` is that of a watcher."""
    for name in NAMES:
        life.order(name, issuer=CA, **LIFE)
    for name in NAMES:
        life.issued(name)
    for name in NAMES:
        life.await_newest_copy(name)
    problems: list[str] = []
    end = time.monotonic() + 60 * minutes
    while time.monotonic() < end:
        begin = time.monotonic()
        problems += _run(life.world.directory)
        left = max(0, int(end - time.monotonic()))
        say(f"{left} s left, {len(life.seen.of('ops'))} versions of Secrets on OPS, {len(problems)} problems")
        time.sleep(max(0.0, min(begin + 60, end) - time.monotonic()))
    until("two renewals of each", lambda: all(_revision(life, name) >= min(3, minutes) for name in NAMES))
    assert life.watcher is not None
    return [*problems, *loud(life.watcher.output), *life.seen.objections()]


def _revision(life: Life, name: str) -> int:
    return int(life.world.ops.get(path_of(name))["status"]["revision"])


def _run(directory: Path) -> list[str]:
    """Run the flow as a process; return its loud lines, and its exit status unless it is 0."""
    environment = os.environ | {"PREFECT_HOME": str(directory / "runs"), "DO_NOT_TRACK": "1"}
    command = [sys.executable, "-m", "flows"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    output = done.stdout + done.stderr
    status = [f"exit status {done.returncode}: {output[-2000:]}"] if done.returncode else []
    return [*loud(output), *status]


def loud(output: str) -> list[str]:
    return [line for line in output.splitlines() if any(word in line for word in LOUD)]


def main() -> int:
    """Exit status 1 where anything was said or is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.certificate_soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as temporary,
        Sandbox(CLUSTERS) as sandbox,
        source(sandbox, Path(temporary), say) as issuing,
        prefect_server(Path(temporary)) as server,
        pytest.MonkeyPatch.context() as patch,
    ):
        server.wait(say)
        build = partial(World, sandbox, Path(temporary), patch)
        with life_by("watcher", build, issuing) as life:
            problems = soak(life, given.minutes)
    for problem in problems:
        say(problem)
    say(f"{given.minutes:g} minutes, {len(NAMES)} certificates of two minutes: {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
