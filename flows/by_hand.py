"""A run in this process, for who typed it and waits for its end."""

import argparse
import sys
from contextlib import ExitStack

import httpx
from prefect.context import SyncClientContext
from prefect.settings import PREFECT_API_URL, PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

from flows.tls_sync import tls_sync

SETTINGS = {PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}
"""Unless set otherwise. Heartbeats tell a server of a process that died, which here its caller sees; and the
thread that sends them would keep a run from ending for half a second, up to a whole one."""


def run(given: argparse.Namespace) -> int:
    """Exit status 0 where the run is Completed, 1 where it is Failed, or where none can begin."""
    with ExitStack() as stack:
        stack.enter_context(temporary_settings(set_defaults=SETTINGS))
        try:
            stack.enter_context(SyncClientContext.get_or_create())  # the flow takes its client, too
        except (httpx.HTTPError, RuntimeError, ValueError):  # it asked for the server's version
            if PREFECT_API_URL.value() and (trouble := why_no_run()):
                sys.stderr.write(f"tls-sync: {trouble}\n")
                return 1
            raise
        state = tls_sync(
            given.cluster, given.certificate, dry_run=given.dry_run, group=given.group, return_state=True
        )
    return 0 if state.is_completed() else 1


def why_no_run() -> str:
    """What is wrong with Prefect's API, in one sentence; empty where nothing is found."""
    from flows.prefect_runs import HistoryError, prefect_api  # noqa: PLC0415  where it goes wrong alone

    try:
        with prefect_api() as client:
            client.read_flows(limit=1)
    except HistoryError as error:
        return f"no run can begin: {error}"
    return ""
