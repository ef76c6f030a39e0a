"""What the hooks ask of Prefect's API."""

import base64
import re
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from uuid import uuid4

from deployments.hook.errors import HookError, Unreachable
from deployments.hook.rest import Refused, Rest
from deployments.hook.settings import Settings

DEPLOYMENTS = (
    *("tls-sync-fleet/ops", "tls-sync/ops", "tls-sync/group"),  # a fleet ends before the runs that it starts
    *("tls-sync-preflight/ops", "tls-sync-inventory/ops"),
)
"""Flow and deployment, as prefect.yaml has them."""
UNFINISHED = ["SCHEDULED", "PENDING", "RUNNING", "PAUSED", "CANCELLING"]
PAUSE = 3.0
DESCRIPTION = (
    "Runs of tls-sync, as pods on OPS. Written by the chart at each upgrade; change its values instead."
)

Say = Callable[[str], None]
Object = dict[str, Any]


class PrefectApi:
    def __init__(self, settings: Settings) -> None:
        if not settings.api_url:
            raise HookError("PREFECT_API_URL is not set: set prefect.apiUrl, or prefect.server.enabled")
        if not re.match(r"https?://[^/]", settings.api_url):
            # Not quoted: a password could stand in it.
            raise HookError("PREFECT_API_URL has to be http(s)://<server>…; correct prefect.apiUrl")
        self._settings = settings
        self._rest = Rest(settings.api_url, _credentials(settings))

    def wait(self, seconds: float, say: Say) -> None:
        """Until the API answers. Raises HookError where it refuses us, Unreachable when time is up."""
        deadline, said = time.monotonic() + seconds, ""
        while True:
            try:
                return self._greet()
            except Unreachable as error:
                if time.monotonic() > deadline:
                    late = f"no Prefect server after {seconds:.0f} s"
                    raise Unreachable(f"{late}: {error}. {self._remedy}") from None
                if str(error) != said:
                    said = str(error)
                    say(f"waiting for Prefect's API: {said}")
            time.sleep(PAUSE)

    def _greet(self) -> None:
        """A call that needs the credentials: the health endpoint answers without any."""
        try:
            self._rest = Rest(self._settings.api_url, {**_credentials(self._settings), **self._csrf_token()})
            answer = self._rest.call_once("POST", "/work_pools/filter", {"limit": 1})
        except Refused as error:
            if error.status in (401, 403):
                raise HookError(
                    f"Prefect at {self._rest.shown} refuses our credentials (HTTP {error.status}): check "
                    "prefect.authSecret or prefect.apiKeySecret, the Secret that it names, and its content"
                ) from None
            raise Unreachable(f"{self._rest.shown} answers HTTP {error.status}") from None
        if not isinstance(answer, list):
            raise Unreachable(self._no_prefect)

    def _csrf_token(self) -> dict[str, str]:
        """What a server with CSRF protection wants with each change; Prefect's own clients ask for it too."""
        if self._settings.api_key:  # Prefect Cloud has none
            return {}
        client = str(uuid4())
        try:
            answer = self._rest.call_once("GET", f"/csrf-token?client={client}")
        except Refused as error:
            if error.status in (HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY):  # it is switched off
                return {}
            raise
        if not isinstance(answer, dict) or "token" not in answer:
            raise Unreachable(self._no_prefect)
        return {"Prefect-Csrf-Token": str(answer["token"]), "Prefect-Csrf-Client": client}

    @property
    def _no_prefect(self) -> str:
        return f"{self._rest.shown}: it answers, but not as Prefect's API does"

    @property
    def _remedy(self) -> str:
        if self._settings.embedded:
            return "See why its pod does not run: kubectl describe pod -l app.kubernetes.io/component=server"
        return "Check prefect.apiUrl (it ends in /api) and that the network lets this namespace reach it"

    def pool(self, name: str = "") -> Object | None:
        """Ours, or the one of that name."""
        found: Object | None = self._rest.found(f"/work_pools/{name or self._settings.pool}")
        return found

    def write_pool(self, template: Object) -> None:
        """What `prefect work-pool create --overwrite` does."""
        fields = {"description": DESCRIPTION, "base_job_template": template}
        if self.pool() is not None:
            self._rest.call("PATCH", f"/work_pools/{self._settings.pool}", fields)
            return
        named = {"name": self._settings.pool, "type": "kubernetes"}
        try:
            self._rest.call("POST", "/work_pools/", {**named, **fields})
        except Refused as error:  # a conflict is none with what an earlier try made, whose answer was lost
            if error.status != HTTPStatus.CONFLICT or not self._has(template):
                raise

    def _has(self, template: Object) -> bool:
        pool = self.pool()
        return pool is not None and pool["base_job_template"] == template

    def delete_pool(self) -> None:
        self._rest.delete(f"/work_pools/{self._settings.pool}")

    def deployment(self, name: str) -> Object | None:
        found: Object | None = self._rest.found(f"/deployments/name/{name}")
        return found

    def pause(self, deployment: Object) -> None:
        self._rest.call("POST", f"/deployments/{deployment['id']}/pause_deployment")

    def delete_deployment(self, deployment: Object) -> None:
        self._rest.delete(f"/deployments/{deployment['id']}")

    def deployments_of_the_pool(self) -> list[Object]:
        asked = {"work_pools": {"name": {"any_": [self._settings.pool]}}, "limit": 200}
        found: list[Object] = self._rest.call("POST", "/deployments/filter", asked)
        return found

    def cancel_runs(self, deployment: Object) -> int:
        """Runs that have not ended get no further; how many there were."""
        asked = {
            "deployments": {"id": {"any_": [deployment["id"]]}},
            "flow_runs": {"state": {"type": {"any_": UNFINISHED}}},
            "limit": 200,
        }
        runs = self._rest.call("POST", "/flow_runs/filter", asked)
        state = {"type": "CANCELLED", "message": "tls-sync was uninstalled"}
        for run in runs:
            self._rest.call("POST", f"/flow_runs/{run['id']}/set_state", {"state": state, "force": True})
        return len(runs)


def _credentials(settings: Settings) -> dict[str, str]:
    if settings.api_key:
        return {"Authorization": f"Bearer {settings.api_key}"}
    if settings.auth_string:
        encoded = base64.b64encode(settings.auth_string.encode()).decode()
        return {"Authorization": f"Basic {encoded}"}
    return {}
