"""A run by hand: what its process leaves out, and that Prefect stores the same all the same."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from prefect import Flow
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, get_current_settings, temporary_settings

from flows.by_hand import as_they_are, without_heartbeats
from flows.tls_sync import tls_sync

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "deployments" / "tls-sync.yaml"
A_RUN = """
import sys
from flows import __main__ as command
status = command.run(command.make_parser().parse_args([]))  # nothing answers there
assert status == 1
assert not [name for name in command.UNUSED if name in sys.modules]
sys.modules["flows.by_hand"].tls_sync.serialize_parameters({"cluster": "dev"})
assert "fastapi" not in sys.modules
from prefect.blocks.notifications import SlackWebhook
from prefect.blocks.webhook import Webhook
"""


def test_a_run_imports_nothing_that_it_does_not_use(tmp_path: Path) -> None:
    """Neither blocks that send messages nor FastAPI; who asks for the blocks later gets them."""
    environment = {
        **os.environ,
        "TLS_SYNC_CONFIG": str(EXAMPLE),
        "PREFECT_HOME": str(tmp_path),
        "PREFECT_API_URL": "http://127.0.0.1:1/api",
    }
    command = [sys.executable, "-c", A_RUN]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert done.stderr.startswith("tls-sync: no run can begin: ")


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"cluster": "dev", "certificate": "homarr-dev-tls", "dry_run": True, "group": None},
        {"cluster": None, "certificate": None, "dry_run": False, "group": "ring-1", "urgent_only": True},
    ],
)
def test_parameters_are_stored_as_prefect_would(given: dict[str, Any]) -> None:
    """What makes JSON of them says the same as what leaves them as they are."""
    assert as_they_are(given) == Flow.serialize_parameters(tls_sync, given)


def test_each_parameter_is_a_text_or_a_yes_or_no() -> None:
    """Any other would need to be made JSON of."""
    kinds = {
        one.get("type", "text or null" if {"type": "string"} in one.get("anyOf", []) else "?")
        for one in tls_sync.parameters.properties.values()
    }
    assert kinds == {"boolean", "text or null"}


def test_heartbeats_are_sent_only_where_they_are_asked_for() -> None:
    """However often they are asked for, and all other settings stay."""
    before = get_current_settings()
    with without_heartbeats():
        quiet = get_current_settings()
    assert (quiet.flows.heartbeat_frequency, before.flows.heartbeat_frequency) == (None, 180)
    assert quiet.model_dump(exclude={"flows"}) == before.model_dump(exclude={"flows"})
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: 31}), without_heartbeats():
        assert get_current_settings().flows.heartbeat_frequency == 31
