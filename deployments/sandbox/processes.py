"""Child processes that never outlive this program."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

Process = subprocess.Popen[bytes]

_LAUNCHER = Path(__file__).with_name("die_with_parent.py")

# Linux sends the signal when the *thread* that started the child ends, so all children are started by
# one thread that lives as long as this program.
_SPAWNER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sandbox-spawner")


def spawn(
    command: Sequence[str | Path],
    log: Path,
    directory: Path,
    environment: Mapping[str, str] | None = None,
) -> Process:
    """Start a program in a session of its own, so that Ctrl-C reaches it only through us."""
    launcher = [sys.executable, "-I", "-S", str(_LAUNCHER), str(os.getpid())]

    def start() -> Process:
        with log.open("ab") as output:
            return subprocess.Popen(  # noqa: S603 (we name the programs)
                [*launcher, *map(str, command)],
                cwd=directory,
                env={**os.environ, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    return _SPAWNER.submit(start).result()


def stop(process: Process, grace: float = 0) -> None:
    """End a process and its children: by SIGTERM, and after `grace` seconds by SIGKILL."""
    if process.poll() is not None:
        return
    if grace:
        os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(grace)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def tail(log: Path, lines: int = 12) -> str:
    """Return the last lines of a log, for an error message."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
