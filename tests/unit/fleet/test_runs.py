"""How the runs of a fleet are watched, where Prefect's API has moods; no server is needed."""

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
from tasks.fleet.groups import Group, Outcome, RunFailure
from tasks.orchestration import publish
from tasks.plan import waves
from tasks.plan.waves import Share
from tasks.runtime import shutdown

GROUPS = tuple(Group(name, 1, (name,)) for name in ("eu", "us"))
WELL = waves.labels_of(Share(1, 0))


class Client:
    """Prefect's API: what it answers, one after the other; an exception is raised."""

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


class Given:
    """A client as Prefect gives it."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def __enter__(self) -> Client:
        return self._client

    def __exit__(self, *_: object) -> None: ...


def seen(state: State[Any]) -> dict[str, Any]:
    """A run of this state; whoever is not final is Running."""
    now = datetime.now(UTC)
    return {"state": state, "state_name": state.name, "state_type": state.type, "start_time": now}


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    found = Client()

    def start(_: str, *, parameters: dict[str, Any], **__: Any) -> FlowRun:
        assert parameters["group"] in ("eu", "us")
        run = FlowRun(id=uuid4(), flow_id=uuid4(), labels=WELL)
        found.runs[run.id] = run
        return run

    monkeypatch.setattr(runs, "run_deployment", start)
    monkeypatch.setattr(runs, "PAUSE", 0.0)
    monkeypatch.setattr(runs, "GRACE", 0.0)
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
    return {name: one.state for name, one in given.done.items()}


RUNNING: State[Any] = State(type=StateType.RUNNING)


def test_an_api_that_is_away_for_a_while_is_asked_again(client: Client) -> None:
    """What the runs do meanwhile is not known, and nobody gives them up for it."""
    client.answers = [RUNNING, httpx.ConnectError("away"), httpx.ReadTimeout("slow"), RUNNING]
    given = wave(client)
    assert given.serve(GROUPS) is None
    assert states(given) == {"eu": "Completed", "us": "Completed"}
    assert {one.share for one in given.done.values()} == {Share(1, 0)}


def test_what_does_not_end_in_time_is_cancelled(client: Client) -> None:
    """Each of the wave's runs, and it told nothing, whatever its labels say."""
    client.answers = [RUNNING]
    given = wave(client, seconds=0, urgent_only=True)
    assert given.serve(GROUPS) is None
    assert states(given) == {"eu": RunFailure.NOT_ENDED, "us": RunFailure.NOT_ENDED}
    assert client.cancelled == set(client.runs)
    assert {(one.share, one.urgent_only) for one in given.done.values()} == {(None, True)}


def test_no_more_groups_than_slots_are_under_way(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that none of them waits for a slot while its time to begin runs out."""
    monkeypatch.setattr(fleet, "MAX_CONCURRENT_GROUPS", 1)
    under_way: list[int] = []
    given = wave(client)
    looked = given._look

    def look() -> None:
        under_way.append(len(given.under_way))
        looked()

    monkeypatch.setattr(given, "_look", look)
    given.serve(GROUPS)
    assert under_way == [1, 1]
    assert states(given) == {"eu": "Completed", "us": "Completed"}


@pytest.mark.parametrize("told", [KeyboardInterrupt(), ZeroDivisionError()], ids=repr)
def test_whatever_ends_a_fleet_early_its_runs_are_cancelled(client: Client, told: BaseException) -> None:
    """Told to stop, or by a defect: none of its runs goes on unwatched, and each group has a line."""
    client.answers = [RUNNING, told, RUNNING]
    given = wave(client)
    assert given.serve(GROUPS) is told
    assert client.cancelled == set(client.runs)
    assert states(given) == {"eu": RunFailure.INTERRUPTED, "us": RunFailure.INTERRUPTED}


def test_a_signal_is_heard_although_its_exception_was_lost(client: Client) -> None:
    """A finalizer swallows what a handler raises; that it was called is noted."""
    client.answers = [RUNNING] * 3
    shutdown.requested.set()
    try:
        told = wave(client).serve(GROUPS)
    finally:
        shutdown.requested.clear()
    assert type(told).__name__ == "TerminationSignal"
    assert client.cancelled == set(client.runs)


def test_told_to_stop_the_waves_that_follow_do_not_begin(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their groups are in the report all the same."""
    told = KeyboardInterrupt()

    def stopped(self: runs._Wave, groups: Any) -> BaseException:
        self.done |= {one.name: Outcome(one, state=RunFailure.INTERRUPTED) for one in groups}
        return told

    monkeypatch.setattr(runs._Wave, "serve", stopped)
    monkeypatch.setattr(runs, "get_client", lambda **_: Given(client))
    config = type("Config", (), {"waves": type("Waves", (), {"max_failed_share": 0.2})})
    until = datetime.now(UTC) + timedelta(minutes=1)
    given: Any = config
    outcomes, signal = runs.serve([GROUPS[:1], GROUPS[1:]], given, RunParameters(), until)
    assert signal is told
    assert [(one.group.name, one.state) for one in outcomes] == [("eu", "Interrupted"), ("us", "Interrupted")]
    assert client.runs == {}


def test_a_group_that_cant_tell_how_it_went_goes_on(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its report counts; to the fleet it is one that went badly, and the log says why."""
    monkeypatch.setattr(publish, "get_client", lambda **_: Given(client))
    monkeypatch.setattr(publish, "get_run_logger", lambda: logging.getLogger("a-run"))
    publish.label_with_share(Share(1, 0))
    assert caplog.messages == ["the fleet was not told how this group went (ConnectError)"]
