"""The hooks' calls over HTTP: what is asked again, and when they give up."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

import pytest

from deployments.hook import rest as module
from deployments.hook.__main__ import main
from deployments.hook.errors import Unreachable
from deployments.hook.prefect_api import PAUSE
from deployments.hook.rest import PAUSES, Refused, Rest

SILENCE = 0
"""For a status: no answer at all, until the test is over."""


@contextmanager
def answering(*statuses: int, content: bytes = b"") -> Iterator[tuple[Rest, list[str]]]:
    """A server that gives these answers in turn, the last one ever after; and what it was asked."""
    asked: list[str] = []
    over = Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.do_DELETE()

        def do_POST(self) -> None:
            self.do_DELETE()

        def do_DELETE(self) -> None:
            asked.append(self.path)
            status = statuses[min(len(asked), len(statuses)) - 1]
            if status == SILENCE:
                over.wait()
                return
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Nothing: the test looks at `asked`."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield Rest(f"http://127.0.0.1:{server.server_port}/api", {}), asked
        finally:
            over.set()
            server.shutdown()


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """No waiting; yields what would have been waited."""
    waited: list[float] = []
    monkeypatch.setattr("time.sleep", waited.append)
    return waited


@pytest.mark.parametrize("status", [429, 502, 503])
def test_a_busy_server_is_asked_again(status: int, pauses: list[float]) -> None:
    """Prefect says 503 while its database is locked: the hook goes on once it no longer is."""
    with answering(status, status, 204) as (api, asked):
        assert api.call("DELETE", "/deployments/one") is None
    assert asked == ["/api/deployments/one"] * 3
    assert pauses == list(PAUSES[:2])


def test_a_server_that_stays_busy_is_given_up(pauses: list[float]) -> None:
    """After the last pause the answer is the error, with the call and the status."""
    said = r"^DELETE .*/deployments/one: HTTP 503$"
    with answering(503) as (api, asked), pytest.raises(Refused, match=said):
        api.call("DELETE", "/deployments/one")
    assert len(asked) == len(PAUSES) + 1
    assert pauses == list(PAUSES)


def test_a_server_that_is_silent_for_a_while_is_asked_again(
    pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prefect's server waits a minute for its database before it says so, which ends no hook."""
    monkeypatch.setattr(module, "SECONDS", 0.3)
    with answering(SILENCE, SILENCE, 204) as (api, asked):
        assert api.call("DELETE", "/deployments/one") is None
    assert asked == ["/api/deployments/one"] * 3
    assert pauses == list(PAUSES[:2])


def test_what_is_gone_needs_no_deleting() -> None:
    """As after a first try whose answer was lost; any other refusal is one."""
    with answering(503, 404) as (api, asked):
        api.delete("/deployments/one")
    assert len(asked) == 2
    with answering(403) as (api, _), pytest.raises(Refused, match="HTTP 403"):
        api.delete("/deployments/one")


def test_who_waits_for_prefect_is_told_at_once(
    pauses: list[float], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a try gave, instead of half a minute later; what is not Prefect is named as such."""
    monkeypatch.setenv("TLS_SYNC_WAIT_SECONDS", "0")
    monkeypatch.setattr("sys.argv", ["hook", "wait"])
    for status, content, told in (
        (503, b"", "answers HTTP 503"),
        (200, b"{}", "it answers, but not as Prefect's API does"),
        (200, b"<html>", "the answer is not JSON"),
    ):
        with answering(status, content=content) as (api, asked):
            monkeypatch.setenv("PREFECT_API_URL", api.base)
            assert main() == 1
        assert told in capsys.readouterr().err
        assert len(asked) == 1 + pauses.count(PAUSE)
        pauses.clear()


def test_outside_a_pod_nothing_is_removed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Typed by a person: one line, before Prefect is asked for anything."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setattr("sys.argv", ["hook", "remove"])
    with answering(200, content=b"[]") as (api, asked):
        monkeypatch.setenv("PREFECT_API_URL", api.base)
        assert main() == 1
    told = capsys.readouterr().err
    assert told.startswith("tls-sync remove failed: this is no pod with a service account")
    assert told.count("\n") == 1
    assert asked == []


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 500])
def test_other_errors_are_not_asked_again(status: int) -> None:
    """Asking again would not help, or might do a thing twice."""
    with answering(status) as (api, asked), pytest.raises(Refused) as refused:
        api.call("DELETE", "/deployments/one")
    assert refused.value.status == status
    assert len(asked) == 1


@pytest.mark.parametrize("host", ["[::1", "127.0.0.1:abc/api", "a b/api", "127.0.0.1:1/api"])
def test_an_address_that_leads_nowhere_is_told_without_its_password(host: str) -> None:
    """Whatever is wrong with it: Prefect's own settings take a user and a password in it, too."""
    with pytest.raises(Unreachable) as error:
        Rest(f"http://ops:hunter2@{host}", {}).call("GET", "/version")
    assert str(error.value).startswith(f"http://{host}: ")
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize(
    ("variable", "given"),
    [
        ("PREFECT_API_URL", "nonsense"),
        ("PREFECT_API_URL", "http://"),
        ("PREFECT_API_URL", "ftp://prefect/api"),
        ("TLS_SYNC_WAIT_SECONDS", "soon"),
        ("TLS_SYNC_WAIT_SECONDS", "-1"),
        ("TLS_SYNC_WAIT_SECONDS", "nan"),
        ("TLS_SYNC_WAIT_SECONDS", "inf"),
    ],
)
def test_a_wrong_setting_is_named(
    variable: str, given: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the hook's pod was given and can't use is one line, and no traceback."""
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    monkeypatch.setenv(variable, given)
    monkeypatch.setattr("sys.argv", ["hook", "wait"])
    assert main() == 1
    told = capsys.readouterr().err
    seconds = f"is '{given}', and "
    assert told.startswith(
        f"tls-sync wait failed: {variable} {'has to be' if variable == 'PREFECT_API_URL' else seconds}"
    )
    assert told.count("\n") == 1
