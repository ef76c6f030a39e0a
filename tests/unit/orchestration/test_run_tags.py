"""How a run tags itself in Prefect."""

import logging
from contextlib import nullcontext
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from prefect import runtime

from tasks.orchestration import run_tags


class Prefect:
    """In place of the client: notes the tags that a run is given."""

    def __init__(self) -> None:
        self.given: list[tuple[UUID, list[str]]] = []
        self.error: Exception | None = None

    def update_flow_run(self, flow_run_id: UUID, *, tags: list[str]) -> None:
        if self.error:
            raise self.error
        self.given.append((flow_run_id, tags))


class Running:
    id, tags = str(uuid4()), ["alice", "fleet"]


@pytest.fixture
def prefect(monkeypatch: pytest.MonkeyPatch) -> Prefect:
    found = Prefect()

    def client(**_: Any) -> nullcontext[Prefect]:
        return nullcontext(found)

    monkeypatch.setattr(run_tags, "get_client", client)
    monkeypatch.setattr(run_tags, "get_run_logger", lambda: logging.getLogger("a-run"))
    monkeypatch.setattr(runtime, "flow_run", Running)
    return found


def test_tags_are_added_to_those_of_the_starter(prefect: Prefect) -> None:
    """Prefect replaces all tags of a run, so the present ones are sent again; each is there once."""
    run_tags.tag_run("fleet", "cluster:dev")
    assert prefect.given == [(UUID(Running.id), ["alice", "fleet", "cluster:dev"])]


def test_a_run_that_has_its_tags_sends_no_request(prefect: Prefect) -> None:
    """The scheduled run for everything has none of its own, and a fleet gives its runs theirs."""
    run_tags.tag_run()
    run_tags.tag_run("fleet")
    assert prefect.given == []


def test_a_run_without_tags_is_a_run(prefect: Prefect, caplog: pytest.LogCaptureFixture) -> None:
    """Where Prefect refuses, a warning says so, without its text, and the run goes on."""
    prefect.error = httpx.ReadTimeout("canary")
    run_tags.tag_run("cluster:dev")
    assert caplog.messages == ["could not tag this run (ReadTimeout)"]
