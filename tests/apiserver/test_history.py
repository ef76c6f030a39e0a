"""The history from a real Prefect server: runs that were, one by one and per cluster, and their logs."""

import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.settings import PREFECT_API_URL
from prefect.states import Scheduled

from deployments.sandbox.clusters.api_server import free_port
from flows.tls_sync import tls_sync
from flows.watch_record import Recorder
from tasks.domain.models import RunReport
from tasks.orchestration.prefect_api import prefect_api
from tasks.orchestration.run_history import read_runs
from tasks.report.history import Run
from tests.apiserver.test_flow import run, run_id, stopped
from tests.support.clusters import TARGETS, World
from tests.support.hook_environment import PASSWORD, guarded_server
from tests.support.tls_server import listening, plaintext

pytestmark = pytest.mark.apiserver

ROOT = Path(__file__).parents[2]


def command(*arguments: str, api: str = "", **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_API")}
    environment |= {"PREFECT_API_URL": api or PREFECT_API_URL.value() or "", "COLUMNS": "200", **settings}
    return subprocess.run(
        [sys.executable, "-m", "flows", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def runs(*, failed: bool = False) -> list[Run]:
    with prefect_api() as client:
        return list(read_runs(client, failed=failed))


@pytest.mark.usefixtures("prefect_server", "no_waiting")
def test_the_newest_run_comes_first(world: World) -> None:
    """A run has its name, parameters, state, starter, duration, and the state of each cluster."""
    world.issue("web-tls")
    whole, one = run(), run(cluster="dev", dry_run=True)
    found = {found.id: found for found in runs()}
    order = list(found)
    assert order.index(str(run_id(one))) < order.index(str(run_id(whole)))
    told = found[str(run_id(whole))]
    assert (told.name, told.flow, told.type, told.started_by) == (
        "sync all",
        "tls-sync",
        "COMPLETED",
        "shell",
    )
    assert {name: outcome.type for name, outcome in told.clusters.items()} == dict.fromkeys(
        TARGETS, "COMPLETED"
    )
    assert told.took is not None
    assert told.message == "3 clusters: create 3"
    unset = {"certificate": None, "group": None, "urgent_only": False, "verify": False}
    assert found[str(run_id(one))].parameters == {"cluster": "dev", "dry_run": True, **unset}


@pytest.mark.usefixtures("prefect_server", "no_waiting")
def test_the_last_failures_of_one_cluster(world: World) -> None:
    """The failed runs of a cluster are shown with its own message; those of others are left out."""
    world.issue("web-tls")
    with stopped(world, "rct"):
        failed = run()
    run()
    done = command("--history", "--cluster", "rct", "--failed", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    first = json.loads(done.stdout)["runs"][0]
    assert first["id"] == str(run_id(failed))
    assert first["clusters"]["rct"]["stateType"] == "FAILED"
    assert "Unreachable" in first["clusters"]["rct"]["message"]
    assert first["clusters"]["dev"]["stateType"] == "COMPLETED"
    of_dev = json.loads(command("--history", "--cluster", "dev", "--failed", "--json").stdout)["runs"]
    assert first["id"] not in {one["id"] for one in of_dev}
    text = command("--history", "--cluster", "rct", "--failed", "--limit", "1").stdout
    assert "dev ✓ prd ✓ rct ✗" in text
    assert "Unreachable" in text.split("\n\n")[1]


@pytest.mark.usefixtures("prefect_server", "no_waiting")
def test_the_log_of_a_run_is_printed(world: World) -> None:
    """A run is selected by its id, its beginning or end, or the run's name; the log has the tasks' lines."""
    world.issue("web-tls")
    found = str(run_id(run()))
    deadline = time.monotonic() + 120  # the run's process sends its log some moments later
    while "tls-sync: 3 clusters: create 3" not in (done := command("--logs", found)).stdout:
        assert (done.returncode, done.stderr) == (0, "")
        assert time.monotonic() < deadline, done.stdout
    with prefect_api() as client:
        client.update_flow_run(UUID(found), name="the one of this test")
    for part in (found[:13], found[-8:], "the one of this test"):
        assert "tls-sync: 3 clusters: create 3" in command("--logs", part).stdout, part
    done = command("--logs", "0" * 8)
    assert (done.returncode, done.stdout) == (1, "")
    assert "or that name; tls-sync history shows the runs that there are: '00000000'" in done.stderr
    done = command("--logs", "00000000-0000-4000-8000-000000000000")
    assert "Prefect has no run 00000000-0000-4000-8000-000000000000" in done.stderr


@pytest.mark.usefixtures("prefect_server")
def test_a_sync_of_the_watcher_is_in_the_history(world: World) -> None:
    """It is a run of its own, with its trigger and the state of each cluster."""
    world.issue("web-tls")
    with stopped(world, "rct"):
        reports = tuple(world.run(seconds=5).values())
    recorder = Recorder()
    report = RunReport(snapshot=world.snapshot(), clusters=reports, now=datetime.now(UTC))
    recorder.add(report, "web-tls changed")
    recorder.close(120)
    found = next(one for one in runs() if one.flow == "tls-sync-watch")
    assert (found.name, found.started_by, found.state) == (
        "watch: web-tls changed",
        "watcher",
        "ClustersFailed",
    )
    assert {name: one.type for name, one in found.clusters.items()} == {
        "dev": "COMPLETED",
        "rct": "FAILED",
        "prd": "COMPLETED",
    }
    done = command("--history", "--cluster", "rct", "--failed", "--limit", "1")
    assert "watch: web-tls changed" in done.stdout
    assert "1 of 3 clusters failed: rct (" in done.stdout


@pytest.mark.usefixtures("prefect_server")
def test_a_run_shows_who_started_it(world: World) -> None:
    """A run of a deployment was started by hand, with its own tags; scheduled runs are left out."""
    with get_client(sync_client=True) as client:
        flow_id = client.create_flow(tls_sync)
        deployment = client.create_deployment(flow_id=flow_id, name="history", tags=["tls-sync"])
        make: Any = client.create_flow_run_from_deployment
        ran = make(deployment, tags=["alice"], name="by alice")
        client.set_flow_run_state(ran.id, Scheduled(name="Late"), force=True)
        later: State[Any] = Scheduled(scheduled_time=datetime.now(UTC) + timedelta(days=1))
        make(deployment, name="tomorrow", state=later)
        make(deployment, name="in a minute", state=Scheduled())
    try:
        found = {one.name: one for one in runs()}
        assert (found["by alice"].started_by, found["by alice"].state) == ("by hand (alice)", "Late")
        assert "tomorrow" not in found
        assert "in a minute" not in found
    finally:
        with get_client(sync_client=True) as client:
            client.delete_deployment(deployment)


@pytest.mark.timeout(900)
def test_a_server_without_runs_and_a_wrong_password(tmp_path: Path) -> None:
    """With the password, `no runs yet` and status 0; without it, one sentence and status 1."""
    with guarded_server(tmp_path) as api:
        deadline = time.monotonic() + 240
        while (done := command("--history", api=api, PREFECT_API_AUTH_STRING=PASSWORD)).returncode:
            assert time.monotonic() < deadline, done.stderr
        assert done.stdout == "no runs yet\n"
        done = command("--history", "--cluster", "dev", "--failed", api=api, PREFECT_API_AUTH_STRING=PASSWORD)
        assert done.stdout == "no failed runs yet for cluster dev\n"
        for given in ({}, {"PREFECT_API_AUTH_STRING": "ops:wrong"}):
            done = command("--history", api=api, **given)
            assert (done.returncode, done.stdout) == (1, "")
            assert done.stderr == (
                f"tls-sync: Prefect's API at {api} refuses our credentials (HTTP 401); "
                "check PREFECT_API_AUTH_STRING\n"
            )


def test_a_server_that_does_not_answer_is_one_sentence() -> None:
    """If nothing listens there, or not Prefect, the command prints one sentence."""
    api = f"http://127.0.0.1:{free_port()}/api"
    for arguments in (["--history"], ["--logs", "0f3a9c1e"]):
        done = command(*arguments, api=api)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.count("\n") == 1
        assert f"Prefect's API at {api} does not answer" in done.stderr
    done = command("--history", api=api.replace("http://", "http://ops:hunter2@"))
    assert f"Prefect's API at {api} does not answer" in done.stderr
    done = command("--history", api="http://ops:hun/ter2@127.0.0.1:4200/api")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "PREFECT_API_URL is not an address; correct it" in done.stderr
    assert "ter2" not in done.stderr
    with listening(plaintext) as address:
        done = command("--history", api=f"http://{address}/api")
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert "answers HTTP 400; check PREFECT_API_URL" in done.stderr
