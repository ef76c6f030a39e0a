"""Runs programs that take minutes and end by themselves."""

import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from deployments.sandbox import processes
from deployments.sandbox.errors import SandboxError
from deployments.sandbox.progress import Say, Waiting

_LINES = 40
"""Lines of the log that an error shows."""


def run(what: str, command: Sequence[str | Path], log: Path, say: Say) -> None:
    """Run a program to its end, in the log's folder. Raises SandboxError where it fails."""
    process = processes.spawn(command, log, log.parent)
    waiting = Waiting(what, say)
    say(f"{what} …")
    try:
        while process.poll() is None:
            waiting.tick()
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.5)
    finally:
        processes.stop(process)
    if process.returncode:
        raise SandboxError(f"{what} failed:\n{processes.tail(log, _LINES)}\nThe whole log is {log}.")
    say(f"{what}: done in {waiting.seconds} s")
