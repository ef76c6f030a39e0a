"""Reads runs of tls-sync from a Prefect server, over its REST API."""

import base64
import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

RUN_SECONDS = 600
_ANSWER_SECONDS = 60
_FINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}

Found = Mapping[str, Any]


@dataclass(frozen=True)
class Run:
    """A flow run as it was when it was read."""

    id: str
    name: str
    state: str
    state_type: str
    message: str
    deployment: str
    by_schedule: bool
    run_count: int
    whole: Found = field(repr=False)

    @property
    def ended(self) -> bool:
        return self.state_type in _FINAL


class PrefectAPI:
    def __init__(self, host: str, password: str, port: int = 4200) -> None:
        self.ui = f"http://{host}:{port}"
        self.url = f"{self.ui}/api"
        self.password = password
        self._address = (host, port)

    def is_healthy(self) -> bool:
        try:
            return self.get("health") is True
        except (OSError, http.client.HTTPException, LookupError):
            return False

    def get(self, path: str) -> Any:
        return self._ask("GET", path)

    def post(self, path: str, body: Found) -> Any:
        return self._ask("POST", path, body)

    def deployment(self, name: str = "tls-sync/ops") -> Found:
        found: Found = self.get(f"deployments/name/{name}")
        return found

    def crons(self) -> list[str]:
        """Return the crons of the active schedules."""
        schedules = self.deployment()["schedules"]
        return [entry["schedule"]["cron"] for entry in schedules if entry["active"]]

    def workers(self, pool: str = "ops") -> dict[str, str]:
        """Return the workers' status by name."""
        found = self.post(f"work_pools/{pool}/workers/filter", {})
        return {worker["name"]: worker["status"] for worker in found}

    def runs(self) -> list[Run]:
        """Return all runs of our deployment, with those that are scheduled, the latest first."""
        query = {
            "deployments": {"id": {"any_": [self.deployment()["id"]]}},
            "sort": "EXPECTED_START_TIME_DESC",
        }
        return [_run(found) for found in self.post("flow_runs/filter", query)]

    def run(self, run_id: str) -> Run:
        return _run(self.get(f"flow_runs/{run_id}"))

    def start(self, deployment: str = "tls-sync/ops", /, **parameters: Any) -> str:
        """Start a run of one of our deployments, and return its id."""
        path = f"deployments/{self.deployment(deployment)['id']}/create_flow_run"
        created = self.post(path, {"parameters": parameters, "state": {"type": "SCHEDULED"}})
        return str(created["id"])

    def finish(self, run_id: str) -> Run:
        """Wait for the end of a run, and return it."""
        return self.await_run(run_id, lambda run: run.ended)

    def await_run(self, run_id: str, condition: Callable[[Run], bool]) -> Run:
        deadline = time.monotonic() + RUN_SECONDS
        while not condition(run := self.run(run_id)):
            assert time.monotonic() < deadline, f"{run} is not as expected after {RUN_SECONDS} s"
            time.sleep(0.5)
        return run

    def carry_out(self, **parameters: Any) -> Run:
        """Start a run by hand, wait for its end, and return it."""
        return self.finish(self.start(**parameters))

    def await_rest(self) -> None:
        """Wait until the runs of a former schedule have ended; Prefect deletes those that have not begun."""
        deadline = time.monotonic() + RUN_SECONDS
        while under_way := [run for run in self.runs() if not run.ended and run.state != "Scheduled"]:
            assert time.monotonic() < deadline, under_way
            time.sleep(1)

    def tasks(self, run_id: str) -> dict[str, str]:
        """Return the states of the task runs by name."""
        found = self.post("task_runs/filter", {"flow_runs": {"id": {"any_": [run_id]}}})
        return {task["name"]: task["state_name"] for task in found}

    def log(self, run_id: str) -> str:
        query = {"logs": {"flow_run_id": {"any_": [run_id]}}, "sort": "TIMESTAMP_ASC"}
        return "\n".join(entry["message"] for entry in self.post("logs/filter", query))

    def await_log(self, run_id: str, *texts: str) -> None:
        """Wait for texts in the log, wherever its lines end; the last lines come after the final state."""
        deadline = time.monotonic() + _ANSWER_SECONDS
        while missing := [text for text in texts if text not in " ".join(self.log(run_id).split())]:
            assert time.monotonic() < deadline, f"{missing} not in:\n{self.log(run_id)}"
            time.sleep(0.5)

    def state_types(self, run_id: str) -> list[str]:
        """Return the types of all states that a run has had."""
        return [state["type"] for state in self.get(f"flow_run_states/?flow_run_id={run_id}")]

    def artifacts(self, run_id: str) -> list[Found]:
        query = {"artifacts": {"flow_run_id": {"any_": [run_id]}}}
        found: list[Found] = self.post("artifacts/filter", query)
        return found

    def command(self, *words: str) -> tuple[int, str]:
        """Run `prefect …` as people type it; return its exit status and its output."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        done = subprocess.run(
            [sys.executable, "-m", "prefect", *words],
            env={
                **environment,
                "PREFECT_API_URL": self.url,
                "PREFECT_API_AUTH_STRING": self.password,
                "NO_PROXY": "*",
                "COLUMNS": "200",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout

    def _ask(self, method: str, path: str, body: Found | None = None) -> Any:
        """Send a request, again while the server is busy, as Prefect's client does: SQLite has one writer."""
        deadline = time.monotonic() + _ANSWER_SECONDS
        status, answer = self._exchange(method, path, body)
        while status == http.client.SERVICE_UNAVAILABLE and time.monotonic() < deadline:
            time.sleep(0.5)
            status, answer = self._exchange(method, path, body)
        if status >= http.client.BAD_REQUEST:
            raise LookupError(f"{method} {path}: {status} {answer.decode(errors='replace')}")
        return json.loads(answer)

    def _exchange(self, method: str, path: str, body: Found | None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(*self._address, timeout=_ANSWER_SECONDS)
        try:
            basic = base64.b64encode(self.password.encode()).decode()
            headers = {"Authorization": f"Basic {basic}", "Content-Type": "application/json"}
            data = None if body is None else json.dumps(body)
            connection.request(method, f"/api/{path}", data, headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()


def _run(found: Found) -> Run:
    state = found["state"] or {}
    return Run(
        id=found["id"],
        name=found["name"],
        state=state.get("name", ""),
        state_type=state.get("type", ""),
        message=state.get("message") or "",
        deployment=found["deployment_id"],
        by_schedule=bool(found["auto_scheduled"]),
        run_count=found["run_count"],
        whole=found,
    )
