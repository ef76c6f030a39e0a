"""A run in this process, for who typed it and waits for its end."""

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
"""What Prefect's client raises where it asks for the server's version and gets no answer, or another one."""
PATIENCE = 2.0
"""Seconds in which nobody wonders."""


def as_they_are(parameters: dict[str, Any]) -> dict[str, Any]:
    """Texts, and yes or no: JSON already. To find out, Prefect would import FastAPI, 80 ms and 5 MiB."""
    return parameters


tls_sync.serialize_parameters = as_they_are  # type: ignore[method-assign]  # of this flow, in this process


def run(parameters: RunParameters) -> int:
    """Exit status 0 where the run is Completed, 1 where it is Failed, or where none can begin."""
    with ExitStack() as stack:
        stack.enter_context(guarded_server())
        try:
            with saying_so(PREFECT_API_URL.value()):
                stack.enter_context(SyncClientContext.get_or_create())  # the flow takes its client, too
        except NO_SERVER:
            if PREFECT_API_URL.value() and (trouble := why_no_run()):
                sys.stderr.write(f"tls-sync: {trouble}\n")
                return 1
            raise
        stack.enter_context(lean_settings())
        state = tls_sync(**asdict(parameters), return_state=True)
    return 0 if state.is_completed() else 1


@contextmanager
def saying_so(api: str | None) -> Iterator[None]:
    """Tell that Prefect's API is waited for. Of a server that Prefect starts by itself, it tells."""
    told = threading.Timer(PATIENCE, sys.stderr.write, ["tls-sync: waiting for PREFECT_API_URL to answer\n"])
    told.daemon = True
    if api:
        told.start()
    try:
        yield
    finally:
        told.cancel()


def guarded_server() -> SettingsContext:
    """Prefect's settings; where Prefect starts a server for this run alone, that one asks for a password.

    It listens on a port of this machine as long as the run takes. Without a password, any web page that is
    open in a browser here could leave a flow run in the database that a later server reads.
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
    """Prefect's settings without two things that tell nobody anything here, unless they are asked for.

    Heartbeats tell a server of a process that died, which here its caller sees; and the thread that sends
    them would keep a run from ending for half a second, up to a whole one. The server's version has been
    asked for by the client that makes the run; the one that sends events would make another client for that.
    Prefect's own way to other settings reads all of them anew, 25 ms.
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
    """What is wrong with Prefect's API, in one sentence; empty where nothing is found."""
    from tasks.orchestration.run_history import RunsError, prefect_api  # noqa: PLC0415  where it goes wrong alone

    try:
        with prefect_api() as client:
            client.read_flows(limit=1)
    except RunsError as error:
        return f"no run can begin: {error}"
    return ""
