"""A fleet of runs with a real Prefect server and real API servers; each group's run is a process."""

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prefect.client.schemas.objects import State

from flows.fleet import tls_sync_fleet
from tasks.fleet import groups
from tasks.fleet import runs as fleet_runs
from tasks.orchestration.run_history import prefect_api, read_runs
from tests.support.clusters import World
from tests.support.fault_proxy import SlowWrites
from tests.support.prefect_command import ROOT, api_url, environment, http_client, make_pool, prefect
from tests.support.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]

GROUPS = {"dev": "eu", "rct": "us", "prd": None}
"""DEV and RCT are of wave 1, PRD of wave 2, and so of group wave-2."""
COUNT = 24


@pytest.fixture(scope="module")
def deployed(prefect_server: Path) -> Path:
    """The deployments of prefect.yaml."""
    given = environment(prefect_server)
    make_pool(given)
    done = prefect("deploy", "--all", "--prefect-file", "prefect.yaml", env=given)
    assert done.returncode == 0, done.stdout + done.stderr
    return prefect_server


class Pods:
    """Starts each scheduled run of tls-sync/group as a worker's pod does; or does not, as told, by group."""

    def __init__(self, home: Path) -> None:
        self._http = http_client(api_url())
        self.never: set[str] = set()
        self.crash: set[str] = set()
        self._environment = environment(home)
        self._home = home
        self._begun: dict[str, subprocess.Popen[bytes]] = {}
        self._over = threading.Event()
        self._deployment = self._http.get("/deployments/name/tls-sync/group").json()["id"]
        self._before = {run["id"] for run in self._found()}
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._over.set()
        self._thread.join()
        for process in self._begun.values():
            with suppress(ProcessLookupError):
                process.kill()
            process.wait()

    @property
    def runs(self) -> dict[str, dict[str, Any]]:
        """Of this test, by group."""
        mine = (run for run in self._found() if run["id"] not in self._before)
        return {run["parameters"]["group"]: run for run in mine}

    def _found(self) -> list[dict[str, Any]]:
        asked = {"deployments": {"id": {"any_": [self._deployment]}}, "limit": 200}
        found: list[dict[str, Any]] = self._http.post("/flow_runs/filter", json=asked).json()
        return found

    def _work(self) -> None:
        while not self._over.wait(0.5):
            for group, run in self.runs.items():
                if run["state_type"] == "SCHEDULED" and run["id"] not in self._begun:
                    self._begin(group, run["id"])

    def _begin(self, group: str, run_id: str) -> None:
        if group in self.crash:
            state = {"type": "CRASHED", "message": "its pod is gone"}
            path = f"/flow_runs/{run_id}/set_state"
            self._http.post(path, json={"state": state, "force": True})
        elif group not in self.never:
            command = [sys.executable, "-m", "prefect", "flow-run", "execute", run_id]
            log = (self._home / f"{group}.log").open("ab")
            self._begun[run_id] = subprocess.Popen(
                command, cwd=ROOT, env=self._environment, stdout=log, stderr=log
            )


@pytest.fixture
def grouped(world: World) -> World:
    waves = {"dev": 1, "rct": 1, "prd": 2}

    def change(document: dict[str, Any]) -> None:
        for cluster in document["clusters"]:
            cluster |= {"group": GROUPS[cluster["name"]], "wave": waves[cluster["name"]]}

    world.edit_config(change)
    return world


@pytest.fixture
def pods(deployed: Path, grouped: World) -> Iterator[Pods]:
    """After the world, whose environment they have."""
    found = Pods(deployed)
    yield found
    found.close()


def run(**parameters: Any) -> State[Any]:
    return tls_sync_fleet(**parameters, return_state=True)


def page(key: str = "tls-sync-fleet") -> str:
    return str(http_client(api_url()).get(f"/artifacts/{key}/latest").json()["data"])


def states(pods: Pods) -> dict[str, str]:
    return {group: run["state_name"] for group, run in pods.runs.items()}


def test_each_group_is_a_run_of_its_own(grouped: World, pods: Pods) -> None:
    """All copies arrive; the groups of a wave start together, and the next wave once both have ended."""
    (secret,) = grouped.issue("web-tls")
    state = run()
    assert (state.type.value, state.message) == ("COMPLETED", "3 groups: all Completed")
    assert grouped.is_everywhere(secret)
    runs = pods.runs
    assert states(pods) == dict.fromkeys(("eu", "us", "wave-2"), "Completed")
    began = {group: one["start_time"] for group, one in runs.items()}
    ended = {group: one["end_time"] for group, one in runs.items()}
    created = {group: one["created"] for group, one in runs.items()}
    assert max(created["eu"], created["us"]) < min(ended["eu"], ended["us"])
    assert began["wave-2"] > max(ended["eu"], ended["us"])
    with prefect_api() as client:
        found = {one.id: one.started_by for one in read_runs(client, failed=False)}
    assert {found[one["id"]] for one in runs.values()} == {"fleet"}
    assert "| eu | 1 | 1 | Completed | 1 of 1 |" in page()
    assert f"| {runs['wave-2']['id']} |" in page()


def test_a_fleet_is_narrowed_like_a_run(grouped: World, pods: Pods) -> None:
    """A dry run writes nothing anywhere, has an artifact of its own, and says for which certificate."""
    grouped.issue("web-tls")
    state = run(certificate="web-tls", dry_run=True)
    assert state.is_completed(), state.message
    assert [grouped.copy("web-tls", name) for name in GROUPS] == [None, None, None]
    assert "| wave-2 | 2 | 1 | Completed | 1 of 1 |" in page("dry-run-tls-sync-fleet")
    assert {one["parameters"]["certificate"] for one in pods.runs.values()} == {"web-tls"}
    assert pods.runs["eu"]["name"] == "sync group eu web-tls (dry run)"


def test_a_group_that_crashed_holds_back_the_next_wave(grouped: World, pods: Pods) -> None:
    """It told nothing, so PRD waits; its neighbour in the wave is served, and the fleet names who failed."""
    (secret,) = grouped.issue("web-tls")
    pods.crash = {"eu"}
    state = run()
    assert state.name == "GroupsFailed"
    assert state.message == "2 of 3 groups failed: eu (Crashed), wave-2 (ClustersFailed, urgent only)"
    held = {name: copy["data"] for name in GROUPS if (copy := grouped.copy("web-tls", name))}
    assert held == {"rct": secret["data"]}
    assert pods.runs["wave-2"]["parameters"]["urgent_only"] is True
    assert "prd (HeldBack: " in pods.runs["wave-2"]["state"]["message"]
    pods.crash.clear()


def test_one_dead_cluster_holds_back_nobody_by_being_alone_in_its_group(grouped: World, pods: Pods) -> None:
    """The share is that of the wave: half of it may fail here, and DEV is all of its group."""
    grouped.edit_config(lambda document: document.update(waves={"maxFailedShare": 0.5}))
    (secret,) = grouped.issue("web-tls")
    with grouped.down("dev"):
        state = run()
    assert state.message == "1 of 3 groups failed: eu (ClustersFailed)"
    copies = [grouped.copy("web-tls", name) for name in ("rct", "prd")]
    assert [copy and copy["data"] for copy in copies] == [secret["data"]] * 2


def test_a_group_that_never_begins_costs_its_own_time(
    grouped: World, pods: Pods, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is given up and cancelled; the others are served, and PRD waits, since nobody knows how DEV is."""
    (secret,) = grouped.issue("web-tls")
    pods.never = {"eu"}
    is_late = groups.is_late

    def late(now: datetime, started: datetime, end: datetime, *, begun: bool) -> groups.RunFailure | None:
        """Its time to begin is up as soon as its neighbour has ended: no clock decides this test."""
        seen = states(pods)
        up = seen.get("us") == "Completed" and "wave-2" not in seen
        return is_late(now + groups.BEGIN if up else now, started, end, begun=begun)

    monkeypatch.setattr(groups, "is_late", late)
    state = run()
    assert state.message == "2 of 3 groups failed: eu (NotBegun), wave-2 (ClustersFailed, urgent only)"
    assert states(pods)["eu"] == "Cancelled"
    copy = grouped.copy("web-tls", "rct")
    assert copy is not None
    assert copy["data"] == secret["data"]
    assert "eu: its run did not begin in time: look at the worker" in page()


def test_a_wave_ends_in_its_time(grouped: World, pods: Pods, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its time is up, so its runs are told to stop, and the next wave has its turn."""
    pods.never = {"eu", "us"}
    monkeypatch.setattr(groups, "end_of_wave", lambda now, _until, _left: now + timedelta(seconds=45))
    grouped.issue("web-tls")
    state = run()
    assert state.message is not None
    assert "eu (NotBegun), us (NotBegun)" in state.message
    assert states(pods)["us"] == "Cancelled"
    assert "wave-2" in pods.runs
    assert pods.runs["us"]["name"] == "sync group us"  # also of a run that never began


def test_without_the_deployment_the_fleet_says_so(
    grouped: World, deployed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No group is begun, each is named, and the report says what to look for."""
    monkeypatch.setattr(fleet_runs, "DEPLOYMENT", "tls-sync/nowhere")
    state = run()
    assert state.message is not None
    assert state.message.startswith("3 of 3 groups failed: eu (NotStarted), us (NotStarted)")
    assert "eu: Prefect did not take the run: look for the deployment tls-sync/group" in page()


def test_a_certificate_that_nobody_gets_is_refused(grouped: World, deployed: Path) -> None:
    """Before any run is started."""
    state = run(certificate="nothing-tls")
    assert state.is_failed()
    assert "no route sends it" in str(state.message)


def test_a_fleet_that_is_told_to_stop_stops_its_runs(grouped: World, pods: Pods) -> None:
    """Writes under way end, no other begins, no other group begins, and the report comes all the same."""
    grouped.issue(*(f"web-{number}-tls" for number in range(COUNT)))
    slowly = SlowWrites(3)
    with grouped.proxy() as proxy:
        proxy.fault = slowly
        command = [sys.executable, "-c", "from flows.fleet import tls_sync_fleet as f; f()"]
        parent = subprocess.Popen(
            command,
            cwd=ROOT,
            env=pods._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert slowly.begun.wait(200)
        parent.send_signal(signal.SIGTERM)
        output, _ = parent.communicate(timeout=300)
        until("the group's end", lambda: states(pods)["eu"] == "Cancelled")
    assert parent.returncode != 0
    assert "told to stop: the groups' runs are cancelled, then the report" in output
    assert "wave-2 (Interrupted)" in output
    logs = http_client(api_url()).post("/logs/filter", json={"sort": "TIMESTAMP_DESC"}).json()
    logged = "\n".join(one["message"] for one in logs)
    assert "tls-sync fleet: " in logged
    assert "wave-2 (Interrupted)" in logged
    assert "1 of 1 cluster failed: dev (Interrupted" in logged
    assert set(pods.runs) == {"eu", "us"}
    assert 0 < len(grouped.versions("dev")) < COUNT
    assert grouped.versions("prd") == {}
