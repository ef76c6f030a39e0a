"""The runs of a fleet: started, watched, and, where the fleet is told to stop or time is up, cancelled."""

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
from tasks.domain.parameters import RunParameters
from tasks.fleet import groups as fleet
from tasks.fleet.groups import Group, Outcome, RunFailure
from tasks.runtime import shutdown

DEPLOYMENT = "tls-sync/group"
PAUSE = 1.0
"""Seconds between two looks at the runs under way."""
GRACE = 15.0
"""Seconds in which cancelled runs may end, so that the report has their states; of 30 that Prefect gives."""
_TROUBLE = (httpx.HTTPError, PrefectException, OSError)


def serve(
    waves: Sequence[Sequence[Group]],
    config: SyncConfig,
    parameters: RunParameters,
    until: datetime,
) -> tuple[list[Outcome], BaseException | None]:
    """What became of each group; and, where the fleet was told to stop, what told it so."""
    outcomes: list[Outcome] = []
    well, told = True, None
    with get_client(sync_client=True) as client:
        for number, groups in enumerate(waves):
            if told:
                outcomes += [Outcome(group, state=RunFailure.INTERRUPTED) for group in groups]
                continue
            end = fleet.end_of_wave(datetime.now(UTC), until, len(waves) - number)
            wave = _Wave(client, end, parameters, urgent_only=not well)
            told = wave.serve(groups)
            done = [wave.done[group.name] for group in groups]
            well = well and fleet.went_well(done, config.waves.max_failed_share)
            outcomes += done
    return outcomes, told


@dataclass
class _Begun:
    group: Group
    started: datetime
    seen: FlowRun

    @property
    def has_begun(self) -> bool:
        return self.seen.start_time is not None

    @property
    def has_ended(self) -> bool:
        return self.seen.state is not None and self.seen.state.is_final()


@dataclass
class _Wave:
    client: SyncPrefectClient
    end: datetime
    parameters: RunParameters
    """Those of the fleet."""
    urgent_only: bool = field(kw_only=True)
    under_way: dict[UUID, _Begun] = field(default_factory=dict)
    done: dict[str, Outcome] = field(default_factory=dict)

    def serve(self, groups: Iterable[Group]) -> BaseException | None:
        """Side by side; what told us to stop, if anything did."""
        waiting = deque(groups)
        try:
            while waiting or self.under_way:
                while waiting and len(self.under_way) < fleet.MAX_CONCURRENT_GROUPS:
                    self._start(waiting[0])
                    waiting.popleft()
                self._look()
                self._give_up()
                if self.under_way:
                    _pause()
        except BaseException as told:  # noqa: BLE001  raised again by the flow, once its report is out
            self._recall(told)
            for group in waiting:
                self.done.setdefault(group.name, self._lapsed(group, RunFailure.INTERRUPTED))
            return told
        return None

    def _start(self, group: Group) -> None:
        parameters = fleet.parameters_of(group, self.parameters, urgent_only=self.urgent_only)
        key = f"{runtime.flow_run.id}-{runtime.flow_run.run_count}-{group.name}"
        try:
            run = run_deployment(
                DEPLOYMENT,
                parameters=asdict(parameters),
                timeout=0,
                idempotency_key=key,
                flow_run_name=parameters.run_name,  # as the run names itself, should it never begin
            )
            assert isinstance(run, FlowRun)  # not in an event loop
        except _TROUBLE as error:
            _say(f"group {group.name}: Prefect did not take its run ({type(error).__name__})")
            self.done[group.name] = self._lapsed(group, RunFailure.NOT_STARTED)
            return
        self.under_way[run.id] = _Begun(group, datetime.now(UTC), run)
        _tell(f"group {group.name}: asked for, run {run.id}")

    def _look(self) -> None:
        """What has ended since; an API that is away for a while is asked again."""
        if not self.under_way:
            return
        asked = FlowRunFilter(id=FlowRunFilterId(any_=list(self.under_way)))
        try:
            found = self.client.read_flow_runs(flow_run_filter=asked)
        except _TROUBLE as error:
            _say(f"Prefect's API does not say how the groups' runs are ({type(error).__name__})")
            return
        for run in found:
            self.under_way[run.id].seen = run
            if self.under_way[run.id].has_ended:
                self._note(run.id)

    def _note(self, run_id: UUID) -> None:
        begun = self.under_way.pop(run_id)
        run = begun.seen
        self.done[begun.group.name] = fleet.ended(
            Outcome(begun.group, str(run_id), urgent_only=self.urgent_only),
            name=run.state_name or "",
            type_=run.state_type.value if run.state_type else "",
            labels=run.labels,
        )
        _tell(f"group {begun.group.name}: {self.done[begun.group.name].state}")

    def _give_up(self) -> None:
        """A run that takes too long to begin, or to end, costs its own group alone."""
        for run_id, begun in list(self.under_way.items()):
            now = datetime.now(UTC)
            if lapse := fleet.is_late(now, begun.started, self.end, begun=begun.has_begun):
                self._cancel(run_id)
                del self.under_way[run_id]
                self.done[begun.group.name] = self._lapsed(begun.group, lapse, run_id)
                _say(f"group {begun.group.name}: {lapse.sentence}")

    def _recall(self, told: BaseException) -> None:
        """Every run that this fleet has started is told to stop, and has some time to say how it ended."""
        why = "a defect" if isinstance(told, Exception) else "told to stop"
        _say(f"{why}: the groups' runs are cancelled, then the report")
        for run_id in self._ours():
            self._cancel(run_id)
        end = time.monotonic() + GRACE
        while self.under_way and time.monotonic() < end:
            time.sleep(PAUSE)
            self._look()
        for run_id, begun in self.under_way.items():
            self.done[begun.group.name] = self._lapsed(begun.group, RunFailure.INTERRUPTED, run_id)

    def _ours(self) -> set[UUID]:
        """Also one that was being started just when we were told."""
        parent = FlowRunFilterParentFlowRunId(any_=[UUID(str(runtime.flow_run.id))])
        try:
            found = self.client.read_flow_runs(flow_run_filter=FlowRunFilter(parent_flow_run_id=parent))
        except _TROUBLE:
            return set(self.under_way)
        return {run.id for run in found if not (run.state and run.state.is_final())} | set(self.under_way)

    def _cancel(self, run_id: UUID) -> None:
        """As the UI does it: its process hears of it, ends its writes, and reports."""
        try:
            self.client.set_flow_run_state(run_id, Cancelling(message="The fleet waits for it no longer."))
        except _TROUBLE as error:
            _say(f"a group's run could not be cancelled ({type(error).__name__})")

    def _lapsed(self, group: Group, lapse: RunFailure, run_id: UUID | None = None) -> Outcome:
        return Outcome(group, str(run_id or ""), state=lapse, urgent_only=self.urgent_only)


def _pause() -> None:
    """A handler's exception can get lost, but not that it was called."""
    time.sleep(PAUSE)
    if shutdown.requested.is_set():
        raise TerminationSignal(signal=signals.SIGTERM)


def _tell(line: str) -> None:
    get_run_logger().info("%s", line)


def _say(line: str) -> None:
    get_run_logger().warning("%s", line)
