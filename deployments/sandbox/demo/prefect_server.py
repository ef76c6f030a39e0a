"""A Prefect server on a free port, with its files in one directory.

This module does not import prefect, which reads its settings once, at its import.
"""

import base64
import http.client
import json
import os
import secrets
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from deployments.sandbox import processes
from deployments.sandbox.clusters.api_server import free_port
from deployments.sandbox.errors import SandboxError
from deployments.sandbox.progress import Say, Waiting

RECORDER = {
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
}
"""As in the chart: by default each state of a task run is a transaction of its own."""
ROOT = Path(__file__).parents[3]
START_SECONDS = 180


class PrefectServer:
    def __init__(self, directory: Path) -> None:
        self.home = directory / "prefect"
        self.home.mkdir()
        self.log = directory / "prefect-server.log"
        self.port = free_port()
        self.ui = f"http://127.0.0.1:{self.port}"
        self.api = f"{self.ui}/api"
        self.password = f"sandbox:{secrets.token_hex(16)}"
        """Without it, any web page that is open in a browser on this machine could start a run."""
        self.process: processes.Process | None = None

    def use(self, **settings: str) -> None:
        """Set this process's environment for this server alone, without the user's own Prefect settings."""
        for name in [name for name in os.environ if name.startswith("PREFECT_")]:
            del os.environ[name]
        os.environ |= {
            "PREFECT_HOME": str(self.home),
            **self.client_settings,
            "PREFECT_SERVER_API_AUTH_STRING": self.password,
            "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": self.ui,
            "PREFECT_SERVER_UI_API_URL": "/api",  # relative: the UI calls its own origin
            "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(self.home / "ui"),
            "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            "TMPDIR": str(self.home.parent),
            **RECORDER,
            "NO_PROXY": ",".join(filter(None, [os.environ.get("NO_PROXY"), "127.0.0.1"])),
            **settings,
        }

    @property
    def client_settings(self) -> dict[str, str]:
        """What a client of this server needs."""
        return {"PREFECT_API_URL": self.api, "PREFECT_API_AUTH_STRING": self.password}

    def start(self) -> None:
        """Start without waiting: it takes long, and the clusters can start meanwhile."""
        where = ["--host", "127.0.0.1", "--port", str(self.port)]
        command = [sys.executable, "-m", "prefect", "server", "start", *where]
        self.process = processes.spawn(command, self.log, ROOT)

    def wait(self, say: Say) -> None:
        wait_for(self, "/api/health", self.process, self.log, say)

    def answer(self, path: str, body: Any = None) -> Any:
        """Return the content for a GET, or with a body for a POST; None without a response of status 200."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with suppress(OSError, http.client.HTTPException):
            basic = base64.b64encode(self.password.encode()).decode()
            headers = {"Authorization": f"Basic {basic}", "Content-Type": "application/json"}
            if body is None:
                connection.request("GET", path, headers=headers)
            else:
                connection.request("POST", path, json.dumps(body), headers)
            response = connection.getresponse()
            content = response.read()
            return json.loads(content) if response.status == http.client.OK else None
        return None


def wait_for(
    server: PrefectServer, path: str, process: processes.Process | None, log: Path, say: Say
) -> None:
    """Wait until Prefect's API answers. Raises SandboxError if `process` ends, or after 180 s."""
    what = log.stem.replace("-", " ")
    waiting = Waiting(f"starting the {what}", say)
    while server.answer(path) is None:
        if process is None or process.poll() is not None or waiting.seconds > START_SECONDS:
            raise SandboxError(f"the {what} did not start:\n{processes.tail(log)}\nThe whole log is {log}.")
        waiting.tick()
        time.sleep(0.2)
    say(f"{what} ready after another {waiting.seconds} s")


def end(process: processes.Process | None) -> None:
    """Kill a server or runner and the runs that it has started, also where it is dead already."""
    if process is not None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def prefect_server(directory: Path, **settings: str) -> Iterator[PrefectServer]:
    """Start a server; `wait` waits until it is ready."""
    server = PrefectServer(directory)
    server.use(**settings)
    try:
        server.start()
        yield server
    finally:
        end(server.process)
