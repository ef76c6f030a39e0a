"""README, step 4: the commands that set up a Prefect server with a password, typed as they stand."""

import os
import re
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from deployments.sandbox import processes
from deployments.sandbox.clusters.api_server import free_port
from tests.support.prefect_command import http_client

pytestmark = [pytest.mark.apiserver, pytest.mark.timeout(1500)]

ROOT = Path(__file__).parents[3]
STEP = (
    (ROOT / "README.md").read_text().split("4. **With a Prefect server.**")[1].split("The parameters are")[0]
)
SERVER, WORKER, PERSON = (
    textwrap.dedent(block) for block in re.findall(r"   ```sh\n(.*?)   ```", STEP, re.DOTALL)
)
"""What is typed in each of the three shells."""
SECONDS = 600


class Reader:
    """Somebody with a checkout; only the port, and where Prefect keeps its files, are not the README's."""

    def __init__(self, checkout: Path) -> None:
        self.checkout, self.port = checkout, free_port()
        for name in ("flows", "tasks", "deployments", "prefect.yaml"):
            (checkout / name).symlink_to(ROOT / name)
        (checkout / ".venv").symlink_to(Path(sys.executable).parents[1])
        outside = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        self.environment = {
            **outside,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",  # by step 2
            "PREFECT_HOME": str(checkout / "prefect"),
            "PREFECT_SERVER_API_PORT": str(self.port),
            "PREFECT_SERVER_UI_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            "COLUMNS": "200",
        }

    def types(self, text: str, **more: str) -> subprocess.CompletedProcess[str]:
        """In a shell of its own."""
        text = text.replace("<server>:4200", f"127.0.0.1:{self.port}")
        return subprocess.run(
            ["bash", "-ec", text],
            cwd=self.checkout,
            env={**self.environment, **more},
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """The first shell: the server is up."""
    found = Reader(tmp_path_factory.mktemp("checkout"))
    command = ["/bin/bash", "-ec", SERVER]
    server = processes.spawn(command, found.checkout / "server.log", found.checkout, found.environment)
    deadline = time.monotonic() + SECONDS
    try:
        while True:
            try:
                httpx.get(f"http://127.0.0.1:{found.port}/api/health").raise_for_status()
                break
            except httpx.HTTPError:
                assert server.poll() is None, processes.tail(found.checkout / "server.log")
                assert time.monotonic() < deadline, processes.tail(found.checkout / "server.log")
                time.sleep(0.2)
        yield found
    finally:
        processes.stop(server)


def test_the_password_is_the_readers_alone_and_the_server_asks_for_it(reader: Reader) -> None:
    """A file that nobody else may read, and no answer without what is in it."""
    file = reader.checkout / "prefect.password"
    assert file.stat().st_mode & 0o777 == 0o600
    assert re.fullmatch(r"admin:[0-9a-f]{48}", file.read_text())
    with pytest.raises(httpx.HTTPStatusError, match="401"):
        http_client(f"http://127.0.0.1:{reader.port}/api").post("/flows/filter", json={})


def test_every_later_command_has_the_password(reader: Reader) -> None:
    """Pool, deployments, worker and runs: each command ends well as it stands; without it, one fails."""
    *lines, worker = WORKER.splitlines()
    assert "prefect worker start" in worker
    done = reader.types("\n".join([*lines, f"{worker} --run-once"]))
    assert done.returncode == 0, done.stdout + done.stderr
    asked = [line.partition(" #")[0].replace(" --watch", "") for line in PERSON.splitlines()]
    runs = [line for line in asked if line.startswith("prefect deployment run")]
    assert len(runs) == 3
    exports = "\n".join(line for line in asked if line.startswith("export "))
    done = reader.types("\n".join([exports, *runs]))
    assert done.returncode == 0, done.stdout + done.stderr
    flow_run = re.findall(r"UUID: ([0-9a-f-]{36})", done.stdout)[0]
    (logs,) = (line for line in asked if line.startswith("prefect flow-run logs"))
    done = reader.types(f"{exports}\n{logs.replace('<id>', flow_run)}")
    assert done.returncode == 0, done.stdout + done.stderr
    without = "\n".join(line for line in exports.splitlines() if "AUTH_STRING" not in line)
    done = reader.types(f"{without}\n{runs[0]}")
    assert done.returncode != 0
    assert "401" in done.stdout + done.stderr
