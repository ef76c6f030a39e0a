"""Creates the flow runs of a fleet, polls them, and cancels those that are overdue."""

import signal as signals
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from uuid import UUID

import httpx
from prefect import runtime
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterParentFlowRunId,
)
from prefect.client.schemas.objects import FlowRun
from prefect.deployments import run_deployment
from prefect.exceptions import PrefectException, TerminationSignal
from prefect.logging import get_run_logger
from prefect.states import Cancelling

from tasks.config.schema import SyncConfig
from tasks.domain.parameters import FLEET_TAG, RunParameters
from tasks.fleet import groups as fleet
from tasks.fleet.groups import Group, GroupResult, RunFailure
from tasks.runtime import shutdown

DEPLOYMENT = "tls-sync/group"
POLL_SECONDS = 1.0
"""Seconds between two requests for the states of the runs."""
CANCEL_SECONDS = 15.0
"""Seconds to wait for the final states of cancelled runs, of the 30 that Prefect gives a cancelled fleet."""
_API_ERRORS = (httpx.HTTPError, PrefectException, OSError)


def run_waves(
    waves: Sequence[Sequence[Group]],
    config: SyncConfig,
    parameters: RunParameters,
    run_deadline: datetime,
) -> tuple[list[GroupResult], BaseException | None]:
    """Run the groups wave by wave. Return their results, and the exception that stopped the fleet, if any."""
    results: list[GroupResult] = []
    may_go_on, signal = True, None
    with get_client(sync_client=True) as client:
        for number, groups in enumerate(waves):
            if signal:
                results += [GroupResult(group, state=RunFailure.INTERRUPTED) for group in groups]
                continue
            deadline = fleet.wave_deadline(datetime.now(UTC), run_deadline, len(waves) - number)
            wave = _Wave(client, deadline, parameters, urgent_only=not may_go_on)
            signal = wave.run(groups)
            done = [wave.results[group.name] for group in groups]
            may_go_on = may_go_on and fleet.may_go_on(done, config.waves)
            results += done
    return results, signal


@dataclass
class _GroupRun:
    """A flow run that this fleet has created."""

    group: Group
    created: datetime
    flow_run: FlowRun
    """As Prefect's API last returned it."""

    @property
    def has_started(self) -> bool:
        return self.flow_run.start_time is not None

    @property
    def has_ended(self) -> bool:
        return self.flow_run.state is not None and self.flow_run.state.is_final()


@dataclass
class _Wave:
    client: SyncPrefectClient
    deadline: datetime
    parameters: RunParameters
    """The fleet's."""
    urgent_only: bool = field(kw_only=True)
    active: dict[UUID, _GroupRun] = field(default_factory=dict)
    results: dict[str, GroupResult] = field(default_factory=dict)
    """Name of a group -> its result."""

    def run(self, groups: Iterable[Group]) -> BaseException | None:
        """Run the groups concurrently; return the exception that stopped the fleet, if any."""
        waiting = deque(groups)
        try:
            while waiting or self.active:
                while waiting and len(self.active) < fleet.MAX_CONCURRENT_GROUPS:
                    self._create(waiting[0])
                    waiting.popleft()
                self._poll()
                self._cancel_overdue()
                if self.active:
                    _sleep()
        except BaseException as signal:  # noqa: BLE001  the flow raises it again after its report
            self._cancel_all(signal)
            for group in waiting:
                self.results.setdefault(group.name, self._failed(group, RunFailure.INTERRUPTED))
            return signal
        return None

    def _create(self, group: Group) -> None:
        parameters = fleet.parameters_of(group, self.parameters, urgent_only=self.urgent_only)
        key = f"{runtime.flow_run.id}-{runtime.flow_run.run_count}-{group.name}"
        try:
            run = run_deployment(
                DEPLOYMENT,
                parameters=asdict(parameters),
                timeout=0,
                idempotency_key=key,
                # The run sets the same name and tags, but only once it starts.
                flow_run_name=parameters.run_name,
                tags=[FLEET_TAG, *parameters.tags],
            )
            assert isinstance(run, FlowRun)  # a coroutine only in an event loop
        except _API_ERRORS as error:
            _warn(f"group {group.name}: Prefect did not create its run ({type(error).__name__})")
            self.results[group.name] = self._failed(group, RunFailure.NOT_STARTED)
            return
        self.active[run.id] = _GroupRun(group, datetime.now(UTC), run)
        get_run_logger().info("group %s: created run %s", group.name, run.id)

    def _poll(self) -> None:
        """Read the states of active runs, and record the results of those that have ended."""
        if not self.active:
            return
        active = FlowRunFilter(id=FlowRunFilterId(any_=list(self.active)))
        try:
            found = self.client.read_flow_runs(flow_run_filter=active)
        except _API_ERRORS as error:
            _warn(f"Prefect's API did not return the groups' runs ({type(error).__name__}); trying again")
            return
        for run in found:
            self.active[run.id].flow_run = run
            if self.active[run.id].has_ended:
                self._record(self.active.pop(run.id))

    def _record(self, ended: _GroupRun) -> None:
        run, group = ended.flow_run, ended.group
        self.results[group.name] = fleet.with_final_state(
            GroupResult(group, str(run.id), urgent_only=self.urgent_only),
            name=run.state_name or "",
            type_=run.state_type.value if run.state_type else "",
            labels=run.labels,
        )
        get_run_logger().info("group %s: %s", group.name, self.results[group.name].state)

    def _cancel_overdue(self) -> None:
        """Cancel each run that did not start or end in time; only its own group fails."""
        for run_id, active in list(self.active.items()):
            now = datetime.now(UTC)
            if failure := fleet.overdue(now, active.created, self.deadline, started=active.has_started):
                self._cancel(run_id)
                del self.active[run_id]
                self.results[active.group.name] = self._failed(active.group, failure, run_id)
                _warn(f"group {active.group.name}: {failure.explanation}")

    def _cancel_all(self, signal: BaseException) -> None:
        """Cancel all runs of this fleet, and wait up to CANCEL_SECONDS for their final states."""
        why = "internal error" if isinstance(signal, Exception) else "stop requested"
        _warn(f"{why}: cancelling the groups' runs; the report follows")
        for run_id in self._unfinished():
            self._cancel(run_id)
        end = time.monotonic() + CANCEL_SECONDS
        while self.active and time.monotonic() < end:
            time.sleep(POLL_SECONDS)
            self._poll()
        for run_id, active in self.active.items():
            self.results[active.group.name] = self._failed(active.group, RunFailure.INTERRUPTED, run_id)

    def _unfinished(self) -> set[UUID]:
        """Return the ids of all child runs, also of one that the stop signal kept us from recording."""
        parent = FlowRunFilterParentFlowRunId(any_=[UUID(str(runtime.flow_run.id))])
        try:
            found = self.client.read_flow_runs(flow_run_filter=FlowRunFilter(parent_flow_run_id=parent))
        except _API_ERRORS:
            return set(self.active)
        return {run.id for run in found if not (run.state and run.state.is_final())} | set(self.active)

    def _cancel(self, run_id: UUID) -> None:
        """Cancel a run as the UI does: its process gets SIGTERM, finishes its writes, and reports."""
        try:
            self.client.set_flow_run_state(run_id, Cancelling(message="The fleet no longer waits for it."))
        except _API_ERRORS as error:
            _warn(f"could not cancel a group's run ({type(error).__name__})")

    def _failed(self, group: Group, failure: RunFailure, run_id: UUID | None = None) -> GroupResult:
        return GroupResult(group, str(run_id or ""), state=failure, urgent_only=self.urgent_only)


def _sleep() -> None:
    """Sleep; raise TerminationSignal if a signal handler ran whose exception was lost in a finalizer."""
    time.sleep(POLL_SECONDS)
    if shutdown.requested.is_set():
        raise TerminationSignal(signal=signals.SIGTERM)


def _warn(line: str) -> None:
    get_run_logger().warning("%s", line)
