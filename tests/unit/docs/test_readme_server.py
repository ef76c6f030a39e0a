"""README, step 4: the commands that set up a Prefect server with a password, typed as they stand."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from deployments.sandbox import processes
from deployments.sandbox.clusters.api_server import free_port
from tests.support.prefect_command import http_client
from tests.unit.docs.pages import ROOT, page

pytestmark = [pytest.mark.apiserver, pytest.mark.timeout(1500)]

SERVER, WORKER, PERSON = (
    next(text for _, text in page(ROOT / "README.md").blocks if words in text)
    for words in ("prefect server start", "prefect worker start", "prefect flow-run logs")
)
"""What is typed in each of the three shells."""
SECONDS = 600


class Reader:
    """Somebody with a checkout; only the port, and where Prefect keeps its files, are not the README's."""

    def __init__(self, checkout: Path) -> None:
        self.checkout, self.port = checkout, free_port()
        self.api = f"http://127.0.0.1:{self.port}/api"
        for name in ("flows", "tasks", "deployments", "prefect.yaml"):
            (checkout / name).symlink_to(ROOT / name)
        (checkout / ".venv").symlink_to(Path(sys.executable).parents[1])
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")},
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",  # by step 2
            "PREFECT_HOME": str(checkout / "prefect"),
            "PREFECT_SERVER_API_PORT": str(self.port),
            "PREFECT_SERVER_UI_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            "COLUMNS": "200",
        }

    def types(self, *lines: str) -> subprocess.CompletedProcess[str]:
        """Run the lines in a shell of their own."""
        command = ["bash", "-ec", "\n".join(lines).replace("127.0.0.1:4200", f"127.0.0.1:{self.port}")]
        return subprocess.run(
            command, cwd=self.checkout, env=self.environment, capture_output=True, text=True, check=False
        )


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """The first shell: the server is up."""
    found = Reader(tmp_path_factory.mktemp("checkout"))
    log, deadline = found.checkout / "server.log", time.monotonic() + SECONDS
    server = processes.spawn(["/bin/bash", "-ec", SERVER], log, found.checkout, found.environment)
    try:
        while True:
            try:
                httpx.get(f"{found.api}/health").raise_for_status()
                break
            except httpx.HTTPError:
                assert server.poll() is None, processes.tail(log)
                assert time.monotonic() < deadline, processes.tail(log)
                time.sleep(0.2)
        yield found
    finally:
        processes.stop(server)


def test_the_password_is_the_readers_alone_and_the_server_asks_for_it(reader: Reader) -> None:
    """Nobody else may read the file, and the server answers nothing without its content."""
    file = reader.checkout / "prefect.password"
    assert file.stat().st_mode & 0o777 == 0o600
    assert re.fullmatch(r"admin:[0-9a-f]{48}", file.read_text())
    with pytest.raises(httpx.HTTPStatusError, match="401"):
        http_client(reader.api).post("/flows/filter", json={})


def test_every_later_command_has_the_password(reader: Reader) -> None:
    """Pool, deployments, worker and runs: each command ends well as it stands; without it, one fails."""
    done = reader.types(WORKER.rstrip().replace("worker start", "worker start --run-once"))
    assert done.returncode == 0, done.stdout + done.stderr
    typed = [line.partition(" #")[0].replace(" --watch", "") for line in PERSON.splitlines()]
    exports = [line for line in typed if line.startswith("export ")]
    runs = [line for line in typed if line.startswith("prefect deployment run")]
    assert len(runs) == 3
    done = reader.types(*exports, *runs)
    assert done.returncode == 0, done.stdout + done.stderr
    flow_run = re.findall(r"UUID: ([0-9a-f-]{36})", done.stdout)[0]
    (logs,) = (line for line in typed if line.startswith("prefect flow-run logs"))
    done = reader.types(*exports, logs.replace(" ID", f" {flow_run}"))
    assert done.returncode == 0, done.stdout + done.stderr
    done = reader.types(*(line for line in exports if "AUTH_STRING" not in line), runs[0])
    assert done.returncode != 0
    assert "401" in done.stdout + done.stderr
