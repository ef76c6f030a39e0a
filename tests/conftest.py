import os
import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeVar

import pytest

from deployments.sandbox.clusters.control_plane import Sandbox
from deployments.sandbox.errors import SandboxError
from tasks.runtime import shutdown
from tests.support.clusters import CLUSTERS, World

Part = TypeVar("Part")

# A shell has what it starts in the background ignore SIGINT, and the commands under test would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """Four real API servers for the whole session."""
    yield from running_sandbox(Sandbox(CLUSTERS))


def running_sandbox(sandbox: Sandbox) -> Iterator[Sandbox]:
    """For a fixture."""
    yield from running(sandbox, "no API server can be had")


def running(part: AbstractContextManager[Part], without: str) -> Iterator[Part]:
    """A real part, for a fixture. Where it can't be had, that fails in CI and skips elsewhere."""
    try:
        found = part.__enter__()
    except SandboxError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"{without}: {error}")
    try:
        yield found
    finally:
        part.__exit__(None, None, None)


@pytest.fixture(autouse=True)
def _same_process_for_each_test(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A stop that one test asks for does not stop the next, and no terminal sets the width of a table."""
    monkeypatch.delenv("COLUMNS", raising=False)
    yield
    shutdown.requested.clear()


@pytest.fixture
def world(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(sandbox, tmp_path, monkeypatch)


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A real Prefect server of this session's own; yields its home, with database and results."""
    # Its start takes up to 40 s on a small machine. The harness does not isolate the result storage.
    home = tmp_path_factory.mktemp("prefect")
    os.environ["PREFECT_RESULTS_LOCAL_STORAGE_PATH"] = str(home / "results")
    os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
    from prefect.testing.utilities import prefect_test_harness  # noqa: PLC0415  2 s, for those who need it

    with prefect_test_harness(server_startup_timeout=180):
        yield home


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries follow at once; their number and conditions stay as they are."""
    from tasks.collect_certificates import collect_certificates  # noqa: PLC0415
    from tasks.sync_cluster import sync_cluster  # noqa: PLC0415

    for task in (collect_certificates, sync_cluster):
        monkeypatch.setattr(task, "retry_delay_seconds", [0.0, 0.0, 0.0])
