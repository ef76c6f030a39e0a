"""The hooks' calls over HTTP: what is asked again, and when they give up."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from deployments.hook.__main__ import main
from deployments.hook.errors import Unreachable
from deployments.hook.rest import PAUSES, Refused, Rest


@contextmanager
def answering(*statuses: int) -> Iterator[tuple[Rest, list[str]]]:
    """A server that gives these answers in turn, the last one ever after; and what it was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_DELETE(self) -> None:
            self.send_response(statuses[min(len(asked), len(statuses) - 1)])
            self.send_header("Content-Length", "0")
            self.end_headers()
            asked.append(self.path)

        def log_message(self, *_: object) -> None:
            """Nothing: the test looks at `asked`."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield Rest(f"http://127.0.0.1:{server.server_port}/api", {}), asked
        finally:
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
