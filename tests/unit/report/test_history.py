"""The history of runs: who started them, which ones are for a cluster, how they are shown."""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect._internal.uuid7 import uuidfromvalues

from tasks.report import history
from tasks.report.history import ClusterOutcome, Run, matches, started_by

ROOT = Path(__file__).parents[3]
GOOD = ClusterOutcome(type="COMPLETED")
BAD = ClusterOutcome(type="FAILED", message="dev: Unreachable: it is down")


def run(**values: Any) -> Run:
    fields = {
        "id": "0f3a9c1e-0000-4000-8000-2c4a5b7d9f10",
        "name": "sync all",
        "flow": "tls-sync",
        "started_by": "schedule",
        "began": datetime(2026, 3, 1, 12, tzinfo=UTC),
        "took": timedelta(seconds=42),
        "type": "COMPLETED",
        "state": "Completed",
    }
    return Run.model_validate(fields | values)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"scheduled": True}, "schedule"),
        ({"deployed": True}, "by hand"),
        ({}, "shell"),
        ({"creator": "automation on renewal"}, "automation on renewal"),
        ({"deployed": True, "tags": ["tls-sync", "alice"]}, "by hand (alice)"),
        ({"scheduled": True, "tags": ["tls-sync", "auto-scheduled"]}, "schedule"),
        ({"tags": ["cluster:dev", "dry-run", "alice", "group:eu", "fleet"]}, "shell (alice)"),
    ],
)
def test_a_run_shows_who_started_it(given: dict[str, Any], expected: str) -> None:
    """A run was started by the schedule, an automation, a shell or by hand; its own tags are shown."""
    defaults = {
        "scheduled": False,
        "creator": "",
        "deployed": False,
        "tags": [],
        "deployment_tags": ["tls-sync"],
    }
    assert started_by(**{**defaults, **given}) == expected


@pytest.mark.parametrize(
    ("given", "selected", "failed"),
    [
        (run(clusters={"dev": GOOD, "rct": GOOD}), True, False),
        (run(clusters={"dev": BAD, "rct": GOOD}, type="FAILED"), True, True),
        (run(clusters={"dev": GOOD, "rct": BAD}, type="FAILED"), True, False),
        (run(clusters={"rct": BAD}, type="FAILED", parameters={"cluster": "rct"}), False, False),
        (run(type="FAILED"), True, True),
        (run(type="FAILED", parameters={"cluster": "rct"}), False, False),
        (run(type="FAILED", parameters={"group": "eu"}, clusters={"rct": BAD}), False, False),
        (run(type="RUNNING"), True, False),
        (run(clusters={"rct": GOOD}), False, False),
        (run(type="CRASHED", clusters={"rct": GOOD}), True, True),
    ],
)
def test_a_run_matches_its_clusters(given: Run, selected: bool, failed: bool) -> None:
    """A run for a cluster, or for all, matches; it failed there if the cluster did, or was not reached."""
    assert matches(given, "dev", failed=False) is selected
    assert matches(given, "dev", failed=True) is failed


def test_without_a_cluster_the_state_of_the_run_counts() -> None:
    """If no cluster is selected, a run has failed if its own state says so."""
    assert matches(run(type="CRASHED"), None, failed=True)
    assert not matches(run(), None, failed=True)
    assert matches(run(), None, failed=False)


def test_a_run_is_one_row() -> None:
    """The row has begin, duration, name, starter, state, the state of each cluster, and the id."""
    text = history.render(
        [run(clusters={"rct": BAD, "dev": GOOD}, type="FAILED", state="ClustersFailed", message="1 of 2")],
        cluster=None,
        zone=UTC,
        width=100,
    )
    assert text.splitlines() == [
        "began                took  run       by        state           clusters     id",
        "2026-03-01 12:00:00  42 s  sync all  schedule  ClustersFailed  dev ✓ rct ✗  5b7d9f10",
        "",
        "sync all (5b7d9f10): ClustersFailed",
        "  1 of 2",
    ]


def test_each_run_of_a_batch_has_another_id() -> None:
    """Scheduled runs of a batch have ids that begin alike; the end that is shown is theirs alone."""
    batch = [
        str(UUID(bytes=uuidfromvalues(1_790_000_000_000, 7, n))) for n in (0x1_0ABCDEF1, 0x2_0ABCDEF1, 0x3)
    ]
    text = history.render([run(id=one) for one in batch], cluster=None, zone=UTC, width=100)
    shown = [line.rpartition("  ")[2] for line in text.splitlines()[1:]]
    assert shown == ["10abcdef1", "20abcdef1", "000000003"]
    assert history.id_length([batch[0]] * 2) == 8


def test_a_selected_cluster_shows_its_own_message() -> None:
    """If a cluster is selected, its message is shown instead of the run's."""
    given = run(clusters={"dev": BAD}, type="FAILED", state="ClustersFailed", message="everything")
    text = history.render([given], cluster="dev", zone=UTC, width=100)
    assert "dev: Unreachable: it is down" in text
    assert "everything" not in text


def test_no_message_controls_the_terminal() -> None:
    """Names and messages are shown without control characters, and are limited in length."""
    given = run(name="sync \x1b[2J", type="FAILED", message="a\x1b]0;x\x07\nb" + "x" * 5000)
    text = history.render([given], cluster=None, zone=UTC, width=100)
    assert "\x1b" not in text
    assert "\x07" not in text
    assert len(text) < 3000


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(None, "-"), (0.84, "0.8 s"), (42, "42 s"), (185, "3 min 5 s"), (7500, "125 min 0 s")],
)
def test_a_duration_is_formatted(seconds: float | None, expected: str) -> None:
    """A duration is shown in seconds or, from 60 seconds, in minutes and seconds."""
    took = None if seconds is None else timedelta(seconds=seconds)
    assert history.format_duration(took) == expected


def test_the_document_keeps_its_form() -> None:
    """Programs rely on these keys: if one is removed or changes its meaning, schemaVersion changes."""
    (entry,) = history.document([run(clusters={"dev": GOOD}, parameters={"cluster": None})])["runs"]
    assert " ".join(entry) == (
        "id name flow parameters by createdAt beganAt seconds stateType state message clusters"
    )
    assert entry["clusters"] == {"dev": {"stateType": "COMPLETED", "message": ""}}
    assert (entry["beganAt"], entry["seconds"]) == ("2026-03-01T12:00:00+00:00", 42.0)
    assert history.document([]) == {"schemaVersion": 1, "runs": []}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--json"], "--json goes with --inventory or --history"),
        (["--html", "x"], "--html goes with --inventory"),
        (["--failed"], "--failed goes with --history"),
        (["--inventory", "--history"], "--inventory and --history: one at a time"),
        (["--inventory", "--dry-run"], "--dry-run does not go with --inventory"),
        (["--inventory", "--json", "--html", "x"], "--json and --html: one at a time"),
        (["--history", "--certificate", "x"], "--certificate does not go with --history"),
        (["--logs", "x", "--cluster", "dev"], "--cluster does not go with --logs"),
        (["--logs", ""], "--logs: is empty; is a variable not set?"),
        (["--cluster", ""], "--cluster: is empty; is a variable not set?"),
        (["--certificate", " "], "--certificate: is empty; is a variable not set?"),
        (["--group", ""], "--group: is empty; is a variable not set?"),
        (["--html", ""], "--html: is empty; is a variable not set?"),
        (["--history", "--limit", "0"], "a number from 1 to 1000"),
        (["--preflight", "--json"], "--preflight goes with --cluster alone"),
    ],
)
def test_what_does_not_go_together_is_said(arguments: list[str], told: str) -> None:
    """Options that exclude one another end the command with exit status 2, before any request."""
    done = subprocess.run(
        [sys.executable, "-m", "flows", *arguments],
        cwd=ROOT,
        env={**os.environ, "TLS_SYNC_CONFIG": "", "KUBECONFIG": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert told in done.stderr
