"""`tls-sync sync --deployment NAME`: starts a run of a deployment, and with --follow waits for its report."""

import json
import sys
import time
from dataclasses import asdict
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import State
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL

from tasks.domain.parameters import RunParameters
from tasks.domain.text import join_limited, printable
from tasks.orchestration.prefect_api import PrefectAPIError, prefect_api
from tasks.orchestration.run_history import FLOW_PREFIX, read_report
from tasks.runtime.command import run_command

POLL_SECONDS = 1.0
REPORT_SECONDS = 20.0
"""Maximum seconds after a run's end for its log to arrive at Prefect's server."""
WAITING = {
    "Late": "no worker has taken it yet: does one run for the work pool? (prefect work-pool ls)",
    "AwaitingConcurrencySlot": "another run is at work; this one begins after it",
}
"""What a person may want to know of a state in which a run waits."""


def run(name: str, parameters: RunParameters, extra: dict[str, str], *, follow: bool) -> int:
    """Return exit status 0 if the run was started or, with `follow`, is Completed."""
    if not PREFECT_API_URL.value():  # Prefect would start a server, which has no deployment
        sys.stderr.write(
            "tls-sync: PREFECT_API_URL is not set: let it name the deployment's Prefect server\n"
        )
        return 1
    try:
        with prefect_api() as client:
            return _start(client, name if "/" in name else f"{FLOW_PREFIX}/{name}", parameters, extra, follow)
    except PrefectAPIError as error:
        sys.stderr.write(f"tls-sync: {error}\n")
        return 1


def _start(
    client: SyncPrefectClient, name: str, parameters: RunParameters, extra: dict[str, str], follow: bool
) -> int:
    deployment = _deployment(client, name)
    given = _checked(deployment, parameters, extra)
    started = client.create_flow_run_from_deployment(deployment.id, parameters=given)
    sys.stdout.write(f"started {printable(started.name)} ({started.id})\n")
    if not follow:
        sys.stdout.write(f"tls-sync logs {started.id} shows its log\n")
        return 0
    left = f"the run goes on: tls-sync logs {started.id} shows its log"
    return run_command(lambda: _follow(client, started.id), lambda: left)


def _deployment(client: SyncPrefectClient, name: str) -> DeploymentResponse:
    try:
        return client.read_deployment_by_name(name)
    except ObjectNotFound:
        known = [one for one in client.read_deployments(limit=200) if FLOW_PREFIX in one.tags]
        names = join_limited([one.name for one in known]) or "none"
        raise PrefectAPIError(
            f"Prefect has no deployment {printable(name)}; those of tls-sync are: {names}; "
            "prefect deployment ls shows them with their flows"
        ) from None


def _checked(
    deployment: DeploymentResponse, parameters: RunParameters, extra: dict[str, str]
) -> dict[str, Any]:
    """Return the parameters that are set. Raises PrefectAPIError for one that the flow does not have."""
    given = {name: value for name, value in asdict(parameters).items() if value}
    given |= {name: _value(text) for name, text in extra.items()}
    names = [*(deployment.parameter_openapi_schema or {}).get("properties", {})]
    for name in given.keys() - {*names}:
        raise PrefectAPIError(
            f"{printable(deployment.name)} has no parameter {printable(name)}; it has: {join_limited(names)}"
        )
    return given


def _value(text: str) -> Any:
    """Parse a value as `prefect deployment run` does: as JSON, or else as text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _follow(client: SyncPrefectClient, run: UUID) -> int:
    """Print each state that the run enters, then its report."""
    shown: str | None = None
    while True:
        state = client.read_flow_run(run).state
        if state and state.name != shown:
            shown = state.name
            said = f" ({WAITING[shown]})" if shown in WAITING else ""
            sys.stdout.write(f"{state.timestamp.astimezone():%H:%M:%S} {printable(shown or '')}{said}\n")
            sys.stdout.flush()
        if state and state.is_final():
            return _ended(client, run, state)
        time.sleep(POLL_SECONDS)


def _ended(client: SyncPrefectClient, run: UUID, state: State[Any]) -> int:
    deadline = time.monotonic() + REPORT_SECONDS
    while not (report := read_report(client, run)) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    text = report or f"it has no report. {state.message or ''}\ntls-sync logs {run} shows its log"
    sys.stdout.write("\n" + "".join(f"{printable(line)}\n" for line in text.splitlines()))
    return 0 if state.is_completed() else 1
