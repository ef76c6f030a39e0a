"""The hooks' settings: environment variables that the chart sets."""

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from deployments.hook.errors import HookError


@dataclass(frozen=True)
class Settings:
    api_url: str
    api_key: str
    auth_string: str
    embedded: bool
    """Whether the server is the chart's own, which is deleted with the release."""
    pool: str
    template: Path
    """The base job template of the pool."""
    home: Path
    """Folder of prefect.yaml and the flows."""
    release: str
    wait_seconds: float
    results_claim: str = ""
    """The PersistentVolumeClaim that the release made for results of runs, or an empty text."""

    @classmethod
    def read(cls) -> Self:
        """Read the environment. Raises HookError."""
        given = os.environ
        return cls(
            api_url=given.get("PREFECT_API_URL", "").rstrip("/"),
            api_key=given.get("PREFECT_API_KEY", ""),
            auth_string=given.get("PREFECT_API_AUTH_STRING", ""),
            embedded=given.get("TLS_SYNC_PREFECT_EMBEDDED", "false") == "true",
            pool=given.get("TLS_SYNC_WORK_POOL", "ops"),
            template=Path(given.get("TLS_SYNC_WORK_POOL_TEMPLATE", "deployments/work-pool.json")),
            home=Path(given.get("TLS_SYNC_HOME", ".")),
            release=given.get("TLS_SYNC_RELEASE", "tls-sync"),
            results_claim=given.get("TLS_SYNC_RESULTS_CLAIM", ""),
            wait_seconds=_seconds(given.get("TLS_SYNC_WAIT_SECONDS", "240")),
        )


def _seconds(given: str) -> float:
    try:
        seconds = float(given)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise HookError(f"TLS_SYNC_WAIT_SECONDS is {given!r}, and has to be a number of seconds, 0 or more")
    return seconds
