"""A real Prefect server, and an environment in which nothing of the user's own Prefect is touched."""

import socket
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deployments.sandbox import processes
from deployments.sandbox.errors import SandboxError
from deployments.sandbox.progress import Say, Waiting

ROOT = Path(__file__).parents[2]
START_SECONDS = 180


@contextmanager
def server(directory: Path, say: Say) -> Iterator[dict[str, str]]:
    """Start the server; yields the environment for processes that are to use it."""
    port = _free_port()
    environment = {
        "PREFECT_HOME": str(directory / "prefect"),
        "PREFECT_RESULTS_LOCAL_STORAGE_PATH": str(directory / "results"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
    }
    command = [sys.executable, "-m", "prefect", "server", "start", "--host=127.0.0.1", f"--port={port}"]
    log = directory / "prefect-server.log"
    process = processes.spawn(command, log, directory, environment)
    try:
        waiting = Waiting("starting the Prefect server", say)
        while not _is_healthy(port):
            if process.poll() is not None or waiting.seconds > START_SECONDS:
                raise SandboxError(f"the Prefect server did not start:\n{processes.tail(log)}")
            waiting.tick()
            time.sleep(0.2)
        say(f"the Prefect server is ready after {waiting.seconds} s")
        yield environment
    finally:
        processes.stop(process)


def _is_healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
