"""The runs of a fleet, with a fake client of Prefect's API that fails where a test says so."""

import logging
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from prefect import runtime
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.states import Completed

from tasks.domain.parameters import RunParameters
from tasks.fleet import groups as fleet
from tasks.fleet import runs
from tasks.fleet.groups import Group, GroupResult, RunFailure
from tasks.orchestration import publish
from tasks.plan import waves
from tasks.plan.waves import Share
from tasks.runtime import shutdown

GROUPS = tuple(Group(name, 1, (name,)) for name in ("eu", "us"))
WELL = waves.labels_of(Share(1, 0))


class Client:
    """A client whose reads return these states, or raise these exceptions, one after the other."""

    def __init__(self, *answers: Any) -> None:
        self.answers, self.cancelled = list(answers), set[UUID]()
        self.runs: dict[UUID, FlowRun] = {}

    def read_flow_runs(self, flow_run_filter: Any) -> list[FlowRun]:
        answer = self.answers.pop(0) if self.answers else Completed()
        if isinstance(answer, BaseException):
            raise answer
        state: State[Any] = answer
        chosen = flow_run_filter.id.any_ if flow_run_filter.id else list(self.runs)
        return [self.runs[one].model_copy(update=seen(state)) for one in chosen]

    def set_flow_run_state(self, run_id: UUID, state: State[Any]) -> None:
        assert state.type is StateType.CANCELLING
        self.cancelled.add(run_id)

    def update_flow_run_labels(self, *_: Any) -> None:
        raise httpx.ConnectError("away")


class Opened:
    """The context manager that get_client returns."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def __enter__(self) -> Client:
        return self._client

    def __exit__(self, *_: object) -> None: ...


def seen(state: State[Any]) -> dict[str, Any]:
    """Return the fields of a run in this state."""
    now = datetime.now(UTC)
    return {"state": state, "state_name": state.name, "state_type": state.type, "start_time": now}


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    found = Client()

    def start(_: str, *, parameters: dict[str, Any], tags: list[str], **__: Any) -> FlowRun:
        assert parameters["group"] in ("eu", "us")
        assert tags == ["fleet", f"group:{parameters['group']}"]
        run = FlowRun(id=uuid4(), flow_id=uuid4(), labels=WELL)
        found.runs[run.id] = run
        return run

    monkeypatch.setattr(runs, "run_deployment", start)
    monkeypatch.setattr(runs, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(runs, "CANCEL_SECONDS", 0.0)
    monkeypatch.setattr(runs, "get_run_logger", lambda: logging.getLogger("a-run"))
    monkeypatch.setattr(runtime, "flow_run", Parent)
    shutdown.requested.clear()
    return found


class Parent:
    id, run_count = str(uuid4()), 1


def wave(client: Client, seconds: float = 60, *, urgent_only: bool = False) -> runs._Wave:
    end = datetime.now(UTC) + timedelta(seconds=seconds)
    given: Any = client
    return runs._Wave(given, end, RunParameters(), urgent_only=urgent_only)


def states(given: runs._Wave) -> dict[str, str]:
    return {name: one.state for name, one in given.results.items()}


RUNNING: State[Any] = State(type=StateType.RUNNING)


def test_an_api_error_while_polling_is_retried(client: Client) -> None:
    """Errors of Prefect's API while runs are active fail no group."""
    client.answers = [RUNNING, httpx.ConnectError("away"), httpx.ReadTimeout("slow"), RUNNING]
    given = wave(client)
    assert given.run(GROUPS) is None
    assert states(given) == {"eu": "Completed", "us": "Completed"}
    assert {one.share for one in given.results.values()} == {Share(1, 0)}


def test_overdue_runs_are_cancelled(client: Client) -> None:
    """Runs that are active at the wave's deadline are cancelled, and their groups have no share."""
    client.answers = [RUNNING]
    given = wave(client, seconds=0, urgent_only=True)
    assert given.run(GROUPS) is None
    assert states(given) == {"eu": RunFailure.NOT_ENDED, "us": RunFailure.NOT_ENDED}
    assert client.cancelled == set(client.runs)
    assert {(one.share, one.urgent_only) for one in given.results.values()} == {(None, True)}


def test_no_more_groups_than_slots_are_active_at_a_time(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run is created once a slot is free, so that it does not spend its time to start on waiting."""
    monkeypatch.setattr(fleet, "MAX_CONCURRENT_GROUPS", 1)
    active: list[int] = []
    given = wave(client)
    poll = given._poll

    def counted() -> None:
        active.append(len(given.active))
        poll()

    monkeypatch.setattr(given, "_poll", counted)
    given.run(GROUPS)
    assert active == [1, 1]
    assert states(given) == {"eu": "Completed", "us": "Completed"}


@pytest.mark.parametrize("signal", [KeyboardInterrupt(), ZeroDivisionError()], ids=repr)
def test_whatever_ends_a_fleet_early_its_runs_are_cancelled(client: Client, signal: BaseException) -> None:
    """A signal and an internal error both cancel all runs, and each group has a result."""
    client.answers = [RUNNING, signal, RUNNING]
    given = wave(client)
    assert given.run(GROUPS) is signal
    assert client.cancelled == set(client.runs)
    assert states(given) == {"eu": RunFailure.INTERRUPTED, "us": RunFailure.INTERRUPTED}


def test_a_signal_whose_exception_was_lost_stops_the_fleet(client: Client) -> None:
    """Python drops what a signal handler raises inside a finalizer; the fleet checks the stop event, too."""
    client.answers = [RUNNING] * 3
    shutdown.requested.set()
    try:
        signal = wave(client).run(GROUPS)
    finally:
        shutdown.requested.clear()
    assert type(signal).__name__ == "TerminationSignal"
    assert client.cancelled == set(client.runs)


def test_after_a_signal_no_other_wave_starts(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """The groups of later waves are Interrupted, and no run is created for them."""
    interrupt = KeyboardInterrupt()

    def stopped(self: runs._Wave, groups: Any) -> BaseException:
        self.results |= {one.name: GroupResult(one, state=RunFailure.INTERRUPTED) for one in groups}
        return interrupt

    monkeypatch.setattr(runs._Wave, "run", stopped)
    monkeypatch.setattr(runs, "get_client", lambda **_: Opened(client))
    config = type("Config", (), {"waves": type("Waves", (), {"max_failed_share": 0.2, "verify": None})})
    deadline = datetime.now(UTC) + timedelta(minutes=1)
    given: Any = config
    results, signal = runs.run_waves([GROUPS[:1], GROUPS[1:]], given, RunParameters(), deadline)
    assert signal is interrupt
    assert [(one.group.name, one.state) for one in results] == [("eu", "Interrupted"), ("us", "Interrupted")]
    assert client.runs == {}


def test_a_run_that_cant_write_its_share_goes_on(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """If Prefect does not take the labels, the run logs a warning; the fleet counts the group as failed."""
    monkeypatch.setattr(publish, "get_client", lambda **_: Opened(client))
    monkeypatch.setattr(publish, "get_run_logger", lambda: logging.getLogger("a-run"))
    publish.label_with_share(Share(1, 0))
    assert caplog.messages == [
        "could not label this run with its share (ConnectError); the fleet counts the group as failed"
    ]
