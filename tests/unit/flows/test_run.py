"""A run by hand: what its process leaves out, and that Prefect stores the same all the same."""

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from prefect import Flow
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED,
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    PREFECT_SERVER_API_AUTH_STRING,
    get_current_settings,
    temporary_settings,
)

from flows.commands.run import guarded_server, lean_settings, notice_of_waiting, serialize_parameters
from flows.tls_sync import tls_sync

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "deployments" / "tls-sync.yaml"


A_RUN = """
import sys
from flows import __main__ as command
status = command.run(command.make_parser().parse_args([]))  # nothing answers there
from tasks.runtime.imports import UNUSED
assert not [name for name in UNUSED if name in sys.modules]
sys.modules["flows.commands.run"].tls_sync.serialize_parameters({"cluster": "dev"})
assert "fastapi" not in sys.modules
from prefect.blocks.webhook import Webhook
sys.exit(status)
"""
A_PREFECT_THAT_USES_ALL = """
import sys
from flows import __main__ as command
from tasks.runtime import imports
imports.lean_import.__defaults__ = (("prefect.artifacts",),)
sys.exit(command.run(command.make_parser().parse_args([])))
"""


@pytest.mark.parametrize("script", [A_RUN, A_PREFECT_THAT_USES_ALL], ids=["as it is", "modules moved"])
def test_a_run_leaves_out_what_it_does_not_use(tmp_path: Path, script: str) -> None:
    """Neither Prefect's blocks nor FastAPI are imported; a Prefect that needs what is left out still runs.

    Where nothing answers at PREFECT_API_URL, the command ends with one line and exit status 1.
    """
    environment = {
        **os.environ,
        "TLS_SYNC_CONFIG": str(EXAMPLE),
        "PREFECT_HOME": str(tmp_path),
        "PREFECT_API_URL": "http://127.0.0.1:1/api",
    }
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    assert done.stderr.startswith("tls-sync: no run can begin: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"cluster": "dev", "certificate": "homarr-dev-tls", "dry_run": True, "group": None},
        {"cluster": None, "certificate": None, "dry_run": False, "group": "ring-1", "urgent_only": True},
    ],
)
def test_parameters_are_stored_as_prefect_would(given: dict[str, Any]) -> None:
    """What leaves the parameters as they are gives the same as Prefect's method, which makes JSON of them."""
    assert serialize_parameters(given) == Flow.serialize_parameters(tls_sync, given)


def test_each_parameter_is_text_or_a_boolean() -> None:
    """Any other would have to be made JSON."""
    kinds = {
        one.get("type", "text or null" if {"type": "string"} in one.get("anyOf", []) else "?")
        for one in tls_sync.parameters.properties.values()
    }
    assert kinds == {"boolean", "text or null"}


def test_heartbeats_are_sent_only_where_they_are_asked_for() -> None:
    """However often they are asked for, and all other settings stay."""
    before = get_current_settings()
    with lean_settings():
        quiet = get_current_settings()
    assert (quiet.flows.heartbeat_frequency, before.flows.heartbeat_frequency) == (None, 180)
    assert quiet.model_dump(exclude={"flows", "client"}) == before.model_dump(exclude={"flows", "client"})
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: 31}), lean_settings():
        assert get_current_settings().flows.heartbeat_frequency == 31


def test_the_servers_version_is_asked_for_once_unless_more_is_asked_for() -> None:
    """By the client that makes the run; what sends events asks only where somebody wants it to."""
    before = get_current_settings().client
    with lean_settings():
        changed = get_current_settings().client
    assert changed == before.model_copy(update={"server_version_check_enabled": False})
    with temporary_settings({PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED: True}), lean_settings():
        assert get_current_settings().client.server_version_check_enabled


def test_a_server_of_the_run_alone_asks_for_a_password() -> None:
    """Each run has a new one, and its client knows it; a server that is there already keeps its own."""
    found = []
    for _ in range(2):
        with temporary_settings(restore_defaults={PREFECT_API_URL}), guarded_server():
            settings = get_current_settings()
        assert settings.server.api.auth_string == settings.api.auth_string
        found.append(settings.api.auth_string)
    assert None not in found
    assert found[0] != found[1]
    for kept in ({PREFECT_API_URL: "http://127.0.0.1:4200/api"}, {PREFECT_SERVER_API_AUTH_STRING: "own:one"}):
        with temporary_settings(kept):
            before = get_current_settings()
            with guarded_server():
                assert get_current_settings() == before


@pytest.mark.apiserver
def test_nobody_without_the_password_reaches_the_server_of_a_run(tmp_path: Path) -> None:
    """A real one, as Prefect starts it: who has no password gets nothing, and the run's client is served."""
    script = (
        "import httpx; from flows.commands.run import guarded_server; from prefect import get_client\n"
        "with guarded_server(), get_client(sync_client=True) as client:\n"
        "    stranger = httpx.post(f'{client.api_url}flows/', json={'name': 'not-ours'})\n"
        "    print(stranger.status_code, len(client.read_flows()))\n"
    )
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    environment |= {"PREFECT_HOME": str(tmp_path), "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180"}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["401", "0"]


def test_a_prefect_that_is_silent_is_told_to_be_waited_for(tmp_path: Path) -> None:
    """Who typed the command is not left to wonder; Prefect's client waits for minutes."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/api"
        environment = os.environ | {
            "TLS_SYNC_CONFIG": str(EXAMPLE),
            "PREFECT_HOME": str(tmp_path),
            "PREFECT_API_URL": address,
        }
        command = [sys.executable, "-m", "flows"]
        with subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as run:
            assert run.stderr is not None
            line = run.stderr.readline()
            run.kill()
    assert line == "tls-sync: waiting for PREFECT_API_URL to answer\n"


def test_a_prefect_that_answers_is_not_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    """Nor one that Prefect starts for the run, of which it tells itself."""
    before = set(threading.enumerate())  # another test may have left a timer
    with notice_of_waiting("http://127.0.0.1:4200/api"):
        pass
    with notice_of_waiting(None):
        pass
    waiting = [one for one in {*threading.enumerate()} - before if isinstance(one, threading.Timer)]
    assert all(one.finished.is_set() for one in waiting)
    assert capsys.readouterr().err == ""
