"""The calls that the hooks make to Prefect's API, with Prefect's own client."""

import re
import time
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import httpx
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import DeploymentUpdate, WorkPoolCreate, WorkPoolUpdate
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import TERMINAL_STATES, State, StateType, WorkPool
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound, ObjectUnsupported
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from prefect.states import Cancelled

from deployments.hook.choices import Choices, with_choices
from deployments.hook.errors import HookError, Unreachable
from deployments.hook.settings import Settings
from tasks.domain.names import without_user

DEPLOYMENTS = (
    *("tls-sync-fleet/ops", "tls-sync/ops", "tls-sync/group"),  # a fleet before the runs that it starts
    *("tls-sync-preflight/ops", "tls-sync-inventory/ops"),
)
"""Flow and deployment names of prefect.yaml, in the order in which they are deleted."""
UNFINISHED = [state for state in StateType if state not in TERMINAL_STATES]
TIMEOUT = httpx.Timeout(15, connect=5)
"""Seconds that one attempt may take. Prefect's client tries to connect four times in each attempt."""
MAX_RETRIES = 4
"""Number of times that Prefect's client repeats a request, after 2, 4, 8 and 16 s.

So a call ends within two minutes, and the hook before its Job's deadline. Prefect's server waits silently, up
to 60 s, for a locked database, then answers 503.
"""
RETRY_SECONDS = 3.0
"""Seconds between two attempts while we wait for the server."""
MAX_ITEMS = 200
"""Maximum number of objects in one response; Prefect's server allows no more."""
DESCRIPTION = (
    "Runs of tls-sync, as pods on OPS. Written by the chart at each upgrade; change its values instead."
)

Say = Callable[[str], None]
P = ParamSpec("P")
T = TypeVar("T")


class PrefectApi:
    def __init__(self, settings: Settings) -> None:
        """Raises HookError where the address can't be used. Sends no request."""
        if not settings.api_url:
            raise HookError("PREFECT_API_URL is not set: set prefect.apiUrl, or prefect.server.enabled")
        if not re.match(r"https?://[^/]", settings.api_url):
            # The message does not quote the address: it may contain a password.
            raise HookError("PREFECT_API_URL has to be http(s)://<server>…; correct prefect.apiUrl")
        self._settings, self.shown = settings, without_user(settings.api_url)
        self.client = self._connect()

    def _connect(self) -> SyncPrefectClient:
        given = self._settings
        try:
            return SyncPrefectClient(
                given.api_url,
                auth_string=given.auth_string or None,
                api_key=given.api_key or None,
                httpx_settings={"timeout": TIMEOUT},
            )
        except httpx.InvalidURL:
            raise HookError(
                "PREFECT_API_URL has to be http(s)://<server>:<port>/api, where the port is a number; "
                "correct prefect.apiUrl"
            ) from None

    def wait(self, seconds: float, say: Say) -> None:
        """Wait until the API answers.

        Raises HookError where it refuses our credentials, Unreachable after that many seconds. The client's
        own retries are off meanwhile: the message says what the last attempt gave.
        """
        deadline, said = time.monotonic() + seconds, ""
        while problem := self._problem():
            if time.monotonic() > deadline:
                raise Unreachable(f"no Prefect server after {seconds:.0f} s: {problem}. {self._remedy}")
            if problem != said:
                said = problem
                say(f"waiting for Prefect's API: {problem}")
            time.sleep(RETRY_SECONDS)

    def _problem(self) -> str:
        """Return why a call that needs the credentials fails, or nothing; the health endpoint needs none."""
        # A new client each time: one that a proxy has answered with 404 sends no CSRF tokens any more.
        self.client = self._connect()
        try:
            with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}):
                self._call(self.client.read_work_pools, limit=1)
        except Unreachable as error:
            return str(error)
        return ""

    @property
    def _remedy(self) -> str:
        if self._settings.embedded:
            return "See why its pod does not run: kubectl describe pod -l app.kubernetes.io/component=server"
        return "Check prefect.apiUrl (it ends in /api) and that the network lets this namespace reach it"

    def pool(self, name: str = "") -> WorkPool | None:
        """Return the work pool of that name, by default ours, or None where there is none."""
        return self._find(self.client.read_work_pool, name or self._settings.pool)

    def write_pool(self, template: dict[str, Any]) -> None:
        """Do what `prefect work-pool create --overwrite` does."""
        name, fields = self._settings.pool, {"description": DESCRIPTION, "base_job_template": template}
        try:
            if self.pool():
                self._call(self.client.update_work_pool, name, WorkPoolUpdate(**fields))
            else:
                new = WorkPoolCreate(name=name, type="kubernetes", **fields)
                self._call(self.client.create_work_pool, new)
        except (ObjectAlreadyExists, ObjectNotFound):
            # No conflict with a pool that an earlier attempt has made, whose response was lost.
            pool = self.pool()
            if pool is None or pool.base_job_template != template:
                raise HookError(
                    f"someone else has just changed work pool {name}; run helm upgrade, or sync, again"
                ) from None

    def delete_pool(self) -> None:
        self._find(self.client.delete_work_pool, self._settings.pool)

    def deployment(self, name: str) -> DeploymentResponse | None:
        return self._find(self.client.read_deployment_by_name, name)

    def offer(self, deployment: DeploymentResponse, choices: Choices) -> None:
        """Let forms offer these values of parameters.

        The server accepts others, too: a cluster may have been added since. The flows check them.
        """
        schema = with_choices(deployment.parameter_openapi_schema or {}, choices)
        change = DeploymentUpdate(parameter_openapi_schema=schema, enforce_parameter_schema=False)
        self._call(self.client.update_deployment, deployment.id, change)

    def pause(self, deployment: DeploymentResponse) -> None:
        self._find(self.client.pause_deployment, deployment.id)

    def delete_deployment(self, deployment: DeploymentResponse) -> None:
        self._find(self.client.delete_deployment, deployment.id)

    def deployments_of_the_pool(self) -> list[DeploymentResponse]:
        pool = WorkPoolFilter(name=WorkPoolFilterName(any_=[self._settings.pool]))
        return self._call(self.client.read_deployments, work_pool_filter=pool, limit=MAX_ITEMS)

    def cancel_runs(self, deployment: DeploymentResponse) -> int:
        """Set the runs that have not ended to Cancelled, and return how many there were."""
        runs = self._call(
            self.client.read_flow_runs,
            deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment.id])),
            flow_run_filter=FlowRunFilter(
                state=FlowRunFilterState(type=FlowRunFilterStateType(any_=UNFINISHED))
            ),
            limit=MAX_ITEMS,
        )
        for run in runs:
            cancelled: State[Any] = Cancelled(message="tls-sync was uninstalled")
            self._find(self.client.set_flow_run_state, run.id, cancelled, force=True)
        return len(runs)

    def _find(self, method: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """As `_call`, but return None where there is no such object, or no longer one."""
        try:
            return self._call(method, *args, **kwargs)
        except ObjectNotFound:
            return None

    def _call(self, method: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a method of the client, which retries while the server is busy or silent.

        Raises Unreachable or HookError, whose messages have no text of the server's, and the client's
        ObjectNotFound and ObjectAlreadyExists.
        """
        try:
            return method(*args, **kwargs)
        except ObjectUnsupported:
            raise HookError(f"the plan of this workspace at {self.shown} allows no such work pool") from None
        except httpx.HTTPStatusError as error:
            status = error.response.status_code
            if status in (401, 403):
                raise HookError(
                    f"Prefect at {self.shown} refuses our credentials (HTTP {status}): check "
                    "prefect.authSecret or prefect.apiKeySecret, the Secret that it names, and its content"
                ) from None
            # Our request, before any redirect: another address is the server's text.
            sent = (error.response.history or [error.response])[0].request
            raise Unreachable(
                f"{self.shown} answers HTTP {status} to {sent.method} {sent.url.path}"
            ) from None
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise Unreachable(f"{self.shown}: {error or type(error).__name__}") from None
        except httpx.HTTPError as error:
            raise Unreachable(f"{self.shown}: no answer ({type(error).__name__})") from None
        except (httpx.InvalidURL, ValueError):  # a redirect to no address; no JSON; not what Prefect sends
            raise Unreachable(f"{self.shown}: it answers, but not as Prefect's API does") from None
