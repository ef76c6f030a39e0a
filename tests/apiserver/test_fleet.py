"""The fleet with a real Prefect server and real API servers; each group's run is a process of its own."""

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

from flows.execute import VARIABLE
from flows.fleet import tls_sync_fleet
from tasks.fleet import groups
from tasks.fleet import runs as fleet_runs
from tasks.orchestration.prefect_api import prefect_api
from tasks.orchestration.run_history import read_runs
from tests.benchmarks.flow_process import POD
from tests.support.clusters import World
from tests.support.fault_proxy import SlowWrites
from tests.support.ingress import ingress
from tests.support.prefect_command import ROOT, api_url, environment, http_client, make_pool, prefect
from tests.support.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]

GROUPS = {"dev": "eu", "rct": "us", "prd": None}
"""Cluster -> its group. DEV and RCT are of wave 1; PRD is of wave 2, and so of the group wave-2."""
COUNT = 24


@pytest.fixture(scope="module")
def deployed(prefect_server: Path) -> Path:
    """Register the deployments of prefect.yaml; return the home of Prefect's server."""
    given = environment(prefect_server)
    make_pool(given)
    done = prefect("deploy", "--all", "--prefect-file", "prefect.yaml", env=given)
    assert done.returncode == 0, done.stdout + done.stderr
    return prefect_server


class Pods:
    """Executes each scheduled run of tls-sync/group, as the pods of a worker do.

    The runs of groups in `never` are not started, and those in `crash` are set to Crashed.
    """

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
        """The runs of this test, by group."""
        mine = (run for run in self._found() if run["id"] not in self._before)
        return {run["parameters"]["group"]: run for run in mine}

    def _found(self) -> list[dict[str, Any]]:
        chosen = {"deployments": {"id": {"any_": [self._deployment]}}, "limit": 200}
        found: list[dict[str, Any]] = self._http.post("/flow_runs/filter", json=chosen).json()
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
            command, env = [sys.executable, *POD], self._environment | {VARIABLE: run_id}
            log = (self._home / f"{group}.log").open("ab")
            self._begun[run_id] = subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log)


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
    """The pods, started after the world, so that they have its environment."""
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
    """All copies arrive; the groups of a wave run concurrently, and the next wave starts after both."""
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
    """A dry run of a fleet writes nothing and has its own artifact; the groups' runs have its certificate."""
    grouped.issue("web-tls")
    state = run(certificate="web-tls", dry_run=True)
    assert state.is_completed(), state.message
    assert [grouped.copy("web-tls", name) for name in GROUPS] == [None, None, None]
    assert "| wave-2 | 2 | 1 | Completed | 1 of 1 |" in page("dry-run-tls-sync-fleet")
    assert {one["parameters"]["certificate"] for one in pods.runs.values()} == {"web-tls"}
    assert pods.runs["eu"]["name"] == "sync group eu web-tls (dry run)"


def test_a_group_that_crashed_limits_the_next_wave(grouped: World, pods: Pods) -> None:
    """A crashed run has no share, so PRD gets only urgent copies; the other group of its wave is served."""
    (secret,) = grouped.issue("web-tls")
    pods.crash = {"eu"}
    state = run()
    assert state.name == "GroupsFailed"
    assert state.message == "2 of 3 groups failed: eu (Crashed), wave-2 (ClustersFailed, urgent only)"
    copies = {name: copy["data"] for name in GROUPS if (copy := grouped.copy("web-tls", name))}
    assert copies == {"rct": secret["data"]}
    assert pods.runs["wave-2"]["parameters"]["urgent_only"] is True
    assert "prd (HeldBack: " in pods.runs["wave-2"]["state"]["message"]
    pods.crash.clear()


def test_one_dead_cluster_alone_in_its_group_delays_nobody(grouped: World, pods: Pods) -> None:
    """The share is counted over the wave: half of it may fail here, although DEV is all of its group."""
    grouped.edit_config(lambda document: document.update(waves={"maxFailedShare": 0.5}))
    (secret,) = grouped.issue("web-tls")
    with grouped.down("dev"):
        state = run()
    assert state.message == "1 of 3 groups failed: eu (ClustersFailed)"
    copies = [grouped.copy("web-tls", name) for name in ("rct", "prd")]
    assert [copy and copy["data"] for copy in copies] == [secret["data"]] * 2


def serve_at(world: World, address: str) -> None:
    """DEV's copies are served there, and later waves wait for it."""

    def change(document: dict[str, Any]) -> None:
        dev = document["clusters"][0]
        dev["routes"] = [{**route, "served": [address]} for route in dev["routes"]]
        document["waves"] = {"verify": "served"}

    world.edit_config(change)


def test_the_next_wave_waits_for_what_a_group_serves(grouped: World, pods: Pods) -> None:
    """The run of a group looks at its end; where an address is behind, PRD gets only urgent copies."""
    grouped.put(grouped.issuer.secret("web-tls", ["*.example.org"]))
    serve_at(grouped, "127.0.0.1:1")  # nobody can ask it for a name of this certificate, so nobody waits
    state = run()
    assert state.message == "1 of 3 groups failed: wave-2 (ClustersFailed, urgent only)"
    assert [bool(grouped.copy("web-tls", name)) for name in GROUPS] == [True, True, False]
    assert "| eu | 1 | 1 | Completed, 1 not served | 1 of 1 |" in page()
    assert "wave-2: urgent only, since addresses of an earlier wave don't present what is stored" in page()


def test_the_next_wave_begins_once_a_group_serves_it(grouped: World, pods: Pods) -> None:
    """DEV's server reloads while the run of its group looks."""
    (secret,) = grouped.issue("web-tls")
    with ingress(lambda: grouped.copy("web-tls")) as server:
        server.reloads_after = 1
        serve_at(grouped, server.address)
        assert run().message == "3 groups: all Completed"
    assert grouped.is_everywhere(secret)
    assert server.handshakes == 2


def test_a_group_that_never_starts_fails_alone(
    grouped: World, pods: Pods, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that does not start in time is cancelled; RCT is served, and PRD gets only urgent copies."""
    (secret,) = grouped.issue("web-tls")
    pods.never = {"eu"}
    overdue = groups.overdue

    def late(
        now: datetime, created: datetime, deadline: datetime, *, started: bool
    ) -> groups.RunFailure | None:
        """Its time to start is up as soon as its neighbour has ended, so that no clock decides this test."""
        seen = states(pods)
        up = seen.get("us") == "Completed" and "wave-2" not in seen
        return overdue(now + groups.START_TIMEOUT if up else now, created, deadline, started=started)

    monkeypatch.setattr(groups, "overdue", late)
    state = run()
    assert state.message == "2 of 3 groups failed: eu (NotBegun), wave-2 (ClustersFailed, urgent only)"
    assert states(pods)["eu"] == "Cancelled"
    copy = grouped.copy("web-tls", "rct")
    assert copy is not None
    assert copy["data"] == secret["data"]
    assert "eu: its run did not start in time; check the worker" in page()


def test_a_wave_ends_at_its_deadline(grouped: World, pods: Pods, monkeypatch: pytest.MonkeyPatch) -> None:
    """At a wave's deadline its runs are cancelled, and the next wave starts."""
    pods.never = {"eu", "us"}
    monkeypatch.setattr(groups, "wave_deadline", lambda now, _until, _left: now + timedelta(seconds=45))
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
    """Without the deployment no run is created, and the report says what is missing."""
    monkeypatch.setattr(fleet_runs, "DEPLOYMENT", "tls-sync/nowhere")
    state = run()
    assert state.message is not None
    assert state.message.startswith("3 of 3 groups failed: eu (NotStarted), us (NotStarted)")
    assert "eu: Prefect did not create the run; check that the deployment tls-sync/group exists" in page()


def test_a_certificate_without_a_route_is_refused(grouped: World, deployed: Path) -> None:
    """The fleet fails before it creates a run."""
    state = run(certificate="nothing-tls")
    assert state.is_failed()
    assert "no route sends it" in str(state.message)


def test_a_stopped_fleet_stops_its_runs(grouped: World, pods: Pods) -> None:
    """Writes in progress finish, no other write or group starts, and the report is published."""
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
    assert "stop requested: cancelling the groups' runs; the report follows" in output
    assert "wave-2 (Interrupted)" in output
    logs = http_client(api_url()).post("/logs/filter", json={"sort": "TIMESTAMP_DESC"}).json()
    logged = "\n".join(one["message"] for one in logs)
    assert "tls-sync fleet: " in logged
    assert "wave-2 (Interrupted)" in logged
    assert "1 of 1 cluster failed: dev (Interrupted" in logged
    assert set(pods.runs) == {"eu", "us"}
    assert 0 < len(grouped.versions("dev")) < COUNT
    assert grouped.versions("prd") == {}
