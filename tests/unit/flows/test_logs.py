"""The log of a run, as a terminal shows it."""

from collections.abc import Sequence
from contextlib import nullcontext
from datetime import UTC, datetime

import pytest

from flows.commands import logs
from tasks.orchestration.prefect_api import PrefectAPIError

Line = tuple[datetime, int, str]
RUN = "0f3a9c1e"


@pytest.fixture
def prefect(monkeypatch: pytest.MonkeyPatch) -> list[Line]:
    """The lines that Prefect has of the run."""
    lines: list[Line] = []

    def read_logs(*_: object) -> Sequence[Line]:
        return lines

    monkeypatch.setattr(logs, "prefect_api", nullcontext)
    monkeypatch.setattr(logs, "find_run", lambda *_: "run")
    monkeypatch.setattr(logs, "read_logs", read_logs)
    return lines


def test_a_line_has_its_time_and_level(prefect: list[Line], capsys: pytest.CaptureFixture[str]) -> None:
    """The time is that of this machine, and the message keeps its line breaks."""
    logged_at = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
    prefect.append((logged_at, 30, "one\n\ttwo"))
    assert logs.run(RUN) == 0
    local = f"{logged_at.astimezone():%H:%M:%S}"
    assert capsys.readouterr().out == f"{local} WARNING  one\n\ttwo\n"


def test_a_log_cannot_control_the_terminal(prefect: list[Line], capsys: pytest.CaptureFixture[str]) -> None:
    """An escape sequence in a message is shown with `?` in place of its control character."""
    prefect.append((datetime.now(UTC), 20, "\x1b[31mred\r"))
    logs.run(RUN)
    assert capsys.readouterr().out.endswith("INFO     ?[31mred?\n")


def test_a_run_without_log_is_no_error(prefect: list[Line], capsys: pytest.CaptureFixture[str]) -> None:
    """The exit status is 0, and a sentence takes the place of the lines."""
    assert logs.run(RUN) == 0
    assert capsys.readouterr().out == "nothing was logged\n"


def test_an_unknown_run_is_an_error(
    prefect: list[Line], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit status is 1, and stderr says why."""

    def find_run(*_: object) -> str:
        raise PrefectAPIError("no run 0f3a9c1e")

    monkeypatch.setattr(logs, "find_run", find_run)
    assert logs.run(RUN) == 1
    assert capsys.readouterr().err == "tls-sync: no run 0f3a9c1e\n"
