"""Executes one flow run of Prefect in this process, by Prefect's own engine.

It does what the two processes around the engine do: a run that is cancelled or final is not executed; one
whose flow can't be loaded is Crashed; a cancellation is noticed within seconds; SIGTERM asks for another
attempt.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from uuid import UUID

import httpx
from prefect import Flow
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun, State
from prefect.context import SyncClientContext
from prefect.exceptions import Abort, Pause, PrefectException, TerminationSignal
from prefect.flows import load_flow_from_entrypoint
from prefect.states import AwaitingRetry, Cancelled, Crashed

from tasks.orchestration.engine import (
    Intent,
    flow_run_logger,
    handle_engine_signals,
    intent,
    load_flow,
    propose_state_sync,
    run_flow,
    set_intent,
)
from tasks.runtime import shutdown
from tasks.runtime.imports import importing

BEHAVIOR = "PREFECT_FLOW_RUN_EXECUTE_SIGTERM_BEHAVIOR"
"""`reschedule` or `relinquish`: Prefect's worker sets it, by the backoffLimit of the Job."""
ENTRYPOINT = "PREFECT__FLOW_ENTRYPOINT"
"""Where to find the flow, if not where the deployment says."""
NO_ANSWER = (httpx.HTTPError, httpx.InvalidURL, PrefectException, RuntimeError, ValueError)
"""What Prefect's client raises where it gets no usable answer."""
POLL_SECONDS = 5.0
"""Between two looks at whether the run is being cancelled."""


def execute(run_id: UUID, terminated: threading.Event) -> int:
    """Return the exit status: 0 where Prefect knows how the run ended, 1 where its pod must count as failed.

    `terminated` is set by a SIGTERM that comes before the engine has a handler of its own.
    """
    try:
        with SyncClientContext.get_or_create() as context:  # the engine takes its client, too
            return _execute(context.client, context.client.read_flow_run(run_id), terminated)
    except NO_ANSWER as error:
        why = f"Prefect's API did not answer for the run {run_id} ({type(error).__name__})"
        sys.stderr.write(f"tls-sync: {why}; check PREFECT_API_URL and its credentials\n")
        return 1


def _execute(client: SyncPrefectClient, run: FlowRun, terminated: threading.Event) -> int:
    if not _may_begin(client, run):
        return 0
    with suppress(ValueError):  # another behavior, or none: the engine sets the run to Crashed
        set_intent(Intent(os.environ.get(BEHAVIOR, "").lower()))
    with _watching(client, run.id, terminated):
        flow = _load(client, run)
        return _run(client, run, flow, terminated) if flow else 1


def _may_begin(client: SyncPrefectClient, run: FlowRun) -> bool:
    logger, state = flow_run_logger(run), run.state
    if state and state.is_cancelling():
        logger.info("the run was cancelled before it began")
        _set(client, run, Cancelled(message="The run was cancelled before it began."))
        return False
    if state and state.is_final():
        logger.info("the run is %s already: nothing to do", state.name)
        return False
    return True


def _load(client: SyncPrefectClient, run: FlowRun) -> Flow[..., Any] | None:
    try:
        with importing():
            return _load_from_image(client, run) or load_flow(run)
    except Exception as error:  # noqa: BLE001 (whatever the imports of the flow's file raise)
        flow_run_logger(run).exception("the flow could not be loaded")
        message = f"The flow could not be loaded ({type(error).__name__}); the log says more."
        _set(client, run, Crashed(message=message))
        return None


def _load_from_image(client: SyncPrefectClient, run: FlowRun) -> Flow[..., Any] | None:
    """Return the flow where all that its deployment asks for is to change to the directory that has it.

    Prefect would import its runner for that, and open connections of its own: 0.2 s of CPU.
    """
    if run.deployment_id is None or ENTRYPOINT in os.environ:
        return None
    deployment = client.read_deployment(run.deployment_id)
    match deployment.pull_steps:
        case [
            {"prefect.deployments.steps.set_working_directory": {"directory": str(home), **more}, **others}
        ]:
            if deployment.entrypoint and "{{" not in home and not (more or others):
                os.chdir(home)
                return load_flow_from_entrypoint(deployment.entrypoint, use_placeholder_flow=False)
    return None


def _run(client: SyncPrefectClient, run: FlowRun, flow: Flow[..., Any], terminated: threading.Event) -> int:
    # Prefect's types want another class than its engine gives, and don't know that our flows are not async.
    logger: Any = flow_run_logger(run)
    state: Any
    try:
        with handle_engine_signals(run.id):
            try:
                if terminated.is_set():
                    return _conclude(client, run)
                state = run_flow(flow, flow_run=run, error_logger=logger, return_type="state")
            except TerminationSignal:
                _ignore_sigterm()
                return _conclude(client, run)
    except SystemExit as end:
        return int(end.code or 0)
    _ignore_sigterm()
    if state.is_cancelling():  # since its last seconds: Prefect takes no other state from it then
        _set(client, run, Cancelled(message="The run was cancelled when its flow had ended."))
    return 0


def _ignore_sigterm() -> None:
    """Let nothing interrupt the rest: state, logs and events. Prefect's handler stays, and raises."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _conclude(client: SyncPrefectClient, run: FlowRun) -> int:
    """Set the state of a run that SIGTERM has ended, unless the engine did."""
    state = client.read_flow_run(run.id).state
    wanted = Intent.CANCEL if state and state.is_cancelling() else intent()
    # An eviction fails the Job, and Prefect's worker may have set the run to Crashed for that already.
    if state and state.is_final() and not (state.is_crashed() and wanted is Intent.RESCHEDULE):
        return 0
    if wanted is Intent.RELINQUISH:
        return 1
    if wanted is Intent.RESCHEDULE:
        _set(client, run, AwaitingRetry())
    elif wanted is Intent.CANCEL:
        _set(client, run, Cancelled(message="The run was cancelled before its flow had ended."))
    else:
        _set(client, run, Crashed(message="The run was terminated before its flow began."))
    return 0


# Quoted: pydantic puts the class State[None] into the module that evaluates it first, and Dask's workers
# would look for it here.
def _set(client: SyncPrefectClient, run: FlowRun, state: "State[None]") -> None:
    with suppress(Abort, Pause):  # the server has decided otherwise
        propose_state_sync(client, state, flow_run_id=run.id)


@contextmanager
def _watching(client: SyncPrefectClient, run_id: UUID, terminated: threading.Event) -> Iterator[None]:
    """Inside the block, a thread looks every POLL_SECONDS whether the run is being cancelled."""
    ended = threading.Event()
    early = signal.getsignal(signal.SIGTERM)

    def watch() -> None:
        while not ended.wait(POLL_SECONDS):
            if not terminated.is_set() and _is_cancelling(client, run_id):
                set_intent(Intent.CANCEL)
                terminated.set()
            if terminated.is_set() and signal.getsignal(signal.SIGTERM) is not early:
                if not shutdown.requested.is_set():  # a second signal would cost the report
                    os.kill(os.getpid(), signal.SIGTERM)
                return

    threading.Thread(target=watch, name="cancellation", daemon=True).start()
    try:
        yield
    finally:
        ended.set()


def _is_cancelling(client: SyncPrefectClient, run_id: UUID) -> bool:
    """Tell whether Prefect wants the run to end; False while it can't be reached."""
    try:
        state = client.read_flow_run(run_id).state
    except NO_ANSWER:
        return False
    return state is not None and state.is_cancelling()
