"""`tls-sync sync` without a command: one run in this process."""

import secrets
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from typing import Any

import httpx
from prefect.context import SettingsContext, SyncClientContext, get_settings_context
from prefect.settings import PREFECT_API_URL
from pydantic import SecretStr

from flows.tls_sync import tls_sync
from tasks.domain.parameters import RunParameters

NO_SERVER = (httpx.HTTPError, httpx.InvalidURL, RuntimeError, ValueError)
"""What Prefect's client raises where it asks for the server's version and gets no usable answer."""
NOTICE_DELAY = 2.0
"""Seconds to wait in silence before saying that the Prefect API has not answered."""


def serialize_parameters(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters, which are text and booleans, as they are.

    Prefect's method imports FastAPI to make JSON of them: 0.2 s of CPU and 5 MiB, with Prefect 3.9.1.
    """
    return parameters


tls_sync.serialize_parameters = serialize_parameters  # type: ignore[method-assign]  # of this flow, in this process


def run(parameters: RunParameters) -> int:
    """Exit status 0 where the run is Completed, 1 where it is Failed, or where none can begin."""
    with ExitStack() as stack:
        stack.enter_context(guarded_server())
        try:
            with notice_of_waiting(PREFECT_API_URL.value()):
                stack.enter_context(SyncClientContext.get_or_create())  # the flow takes its client, too
        except NO_SERVER:
            if PREFECT_API_URL.value() and (problem := why_no_run()):
                sys.stderr.write(f"tls-sync: {problem}\n")
                return 1
            raise
        stack.enter_context(lean_settings())
        state = tls_sync(**asdict(parameters), return_state=True)
    return 0 if state.is_completed() else 1


@contextmanager
def notice_of_waiting(api: str | None) -> Iterator[None]:
    """Say on stderr that the run waits for the Prefect API.

    Of a server that Prefect starts for the run, Prefect itself tells that it starts; a person at a terminal
    is told how long that takes.
    """
    own = "waiting for the temporary Prefect server, which takes ten seconds or so …"
    text = "waiting for PREFECT_API_URL to answer" if api else own
    notice = threading.Timer(NOTICE_DELAY, sys.stderr.write, [f"tls-sync: {text}\n"])
    notice.daemon = True
    if api or sys.stderr.isatty():
        notice.start()
    try:
        yield
    finally:
        notice.cancel()


def guarded_server() -> SettingsContext:
    """Prefect's settings; a server that Prefect starts for this run alone requires a password.

    It listens on a port of this machine as long as the run takes. Without a password, any web page that is
    open in a browser here could create a flow run in the database, which a later server would carry out.
    """
    context = get_settings_context()
    settings, server = context.settings, context.settings.server
    if settings.api.url or server.api.auth_string:
        return SettingsContext(profile=context.profile, settings=settings)
    password = {"auth_string": SecretStr(f"tls-sync:{secrets.token_urlsafe()}")}
    guarded = server.model_copy(update={"api": server.api.model_copy(update=password)})
    changed = {"server": guarded, "api": settings.api.model_copy(update=password)}
    return SettingsContext(profile=context.profile, settings=settings.model_copy(update=changed))


def lean_settings() -> SettingsContext:
    """Prefect's settings without heartbeats and without a second check of the server's version.

    Both stay where somebody has set them. Heartbeats report a process that died, which here the caller sees,
    and their thread delays the end of a run by half a second to a second. The client of the run has checked
    the server's version already; the client for events would make another client for that. Prefect's own
    function for temporary settings reads all of them anew, which takes 25 ms.
    """
    context = get_settings_context()
    settings, flows, client = context.settings, context.settings.flows, context.settings.client
    if "heartbeat_frequency" not in flows.model_fields_set:
        flows = flows.model_copy(update={"heartbeat_frequency": None})
    if "server_version_check_enabled" not in client.model_fields_set:
        client = client.model_copy(update={"server_version_check_enabled": False})
    changed = settings.model_copy(update={"flows": flows, "client": client})
    return SettingsContext(profile=context.profile, settings=changed)


def why_no_run() -> str:
    """What is wrong with the Prefect API, in one sentence; empty where nothing is found."""
    from tasks.orchestration.prefect_api import PrefectAPIError, prefect_api  # noqa: PLC0415  after a failure

    try:
        with prefect_api() as client:
            client.read_flows(limit=1)
    except PrefectAPIError as error:
        return f"no run can begin: {error}"
    return ""
