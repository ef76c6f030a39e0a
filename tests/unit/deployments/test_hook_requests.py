"""The hooks' requests over HTTP: which are repeated, when the hooks give up, and their messages."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from uuid import uuid4

import httpx
import pytest

from deployments.hook import prefect_api, removal
from deployments.hook.__main__ import main
from deployments.hook.errors import HookError
from deployments.hook.kubernetes_jobs import delete_claim, end_jobs
from deployments.hook.prefect_api import MAX_RETRIES, RETRY_SECONDS, PrefectApi
from deployments.hook.settings import Settings

SILENCE = 0
"""For a status: no response at all, until the test is over."""
CANARY = b"canary-of-the-server"


@contextmanager
def answering(*statuses: int, content: bytes = b"") -> Iterator[tuple[str, list[str]]]:
    """A server that gives these responses in turn, and repeats the last one. Yields address and requests."""
    requests: list[str] = []
    over = Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.do_DELETE()

        def do_POST(self) -> None:
            self.do_DELETE()

        def do_DELETE(self) -> None:
            if "csrf-token" in self.path:  # switched off, as Prefect's server says
                self.respond(422, b"CSRF protection is disabled.")
                return
            requests.append(f"{self.command} {self.path}")
            status = statuses[min(len(requests), len(statuses)) - 1]
            if status == SILENCE:
                over.wait()
                return
            self.respond(status, content)

        def respond(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing: the test looks at `requests`."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/api", requests
        finally:
            over.set()
            server.shutdown()


def api_at(address: str) -> PrefectApi:
    return PrefectApi(replace(Settings.read(), api_url=address))


def delete(api: PrefectApi) -> None:
    api._find(api.client.delete_deployment, uuid4())


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Replace time.sleep. Yields the seconds that would have been waited."""
    waited: list[float] = []
    monkeypatch.setattr("time.sleep", waited.append)
    return waited


@pytest.mark.parametrize("status", [429, 502, 503])
def test_a_request_to_a_busy_server_is_repeated(status: int) -> None:
    """Prefect answers 503 while its database is locked; the hook goes on once it no longer is."""
    with answering(status, status, 204) as (address, requests):
        delete(api_at(address))
    assert len(requests) == 3


def test_a_server_that_stays_busy_is_given_up_after_a_minute(
    pauses: list[float], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message has our request and the status, in one line, and nothing that the server sent."""
    monkeypatch.setattr("sys.argv", ["hook", "remove"])
    monkeypatch.setattr(removal, "in_cluster", lambda: (None, "tls-sync"))
    with answering(200, 503, content=b"[]") as (address, requests):
        monkeypatch.setenv("PREFECT_API_URL", address)
        assert main() == 1
    message = capsys.readouterr().err
    assert message == f"tls-sync remove failed: {address} answers HTTP 503 to GET /api/work_pools/ops\n"
    assert len(requests) == 1 + 1 + MAX_RETRIES
    assert sum(pauses) < 100


def test_a_request_to_a_silent_server_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prefect's server waits a minute for its database before it answers, which fails no hook."""
    monkeypatch.setattr(prefect_api, "TIMEOUT", httpx.Timeout(0.3))
    with answering(SILENCE, SILENCE, 204) as (address, requests):
        delete(api_at(address))
    assert len(requests) == 3


def test_what_is_gone_needs_no_deleting() -> None:
    """404 is success, as after an attempt whose response was lost; any other refusal is an error."""
    with answering(503, 404) as (address, requests):
        delete(api_at(address))
    assert len(requests) == 2
    with answering(403) as (address, _), pytest.raises(HookError, match="HTTP 403"):
        delete(api_at(address))


@pytest.mark.parametrize("status", [400, 401, 403, 409, 500])
def test_after_other_errors_no_request_is_repeated(status: int) -> None:
    """Another attempt would not help, or might do a thing twice."""
    with answering(status, content=CANARY) as (address, requests):
        with pytest.raises(HookError, match=f"HTTP {status}") as error:
            delete(api_at(address))
        assert len(requests) == 1
    assert CANARY.decode() not in str(error.value)


@pytest.mark.parametrize(
    ("response", "words"),
    [
        ((503, CANARY), "answers HTTP 503 to POST /api/work_pools/filter"),
        ((404, CANARY), "answers HTTP 404"),
        ((200, b'{"canary-of-the-server": 1}'), "it answers, but not as Prefect's API does"),
        ((200, b"<html>" + CANARY), "it answers, but not as Prefect's API does"),
    ],
)
def test_waiting_sends_one_request_at_a_time(
    response: tuple[int, bytes],
    words: str,
    pauses: list[float],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The client's retries do not multiply ours, and the message is about the last attempt, in one line."""
    monkeypatch.setenv("TLS_SYNC_WAIT_SECONDS", "0")
    monkeypatch.setattr("sys.argv", ["hook", "wait"])
    with answering(response[0], content=response[1]) as (address, requests):
        monkeypatch.setenv("PREFECT_API_URL", address)
        assert main() == 1
    output = capsys.readouterr()
    assert words in output.err
    assert output.err.count("\n") == 1
    assert CANARY.decode() not in output.out + output.err
    assert len(requests) == 1 + pauses.count(RETRY_SECONDS)


def test_waiting_goes_on_until_the_server_is_there(
    pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy's 404 and 503 are no end; Prefect's first response is."""
    said: list[str] = []
    with answering(404, 503, 200, content=b"[]") as (address, requests):
        api_at(address).wait(60, said.append)
    assert len(requests) == 3
    assert [line.split(" answers ")[1][:8] for line in said] == ["HTTP 404", "HTTP 503"]
    assert pauses.count(RETRY_SECONDS) == 2


def test_outside_a_pod_nothing_is_removed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A person who types the command gets one line, before any request to Prefect."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setattr("sys.argv", ["hook", "remove"])
    with answering(200, content=b"[]") as (address, requests):
        monkeypatch.setenv("PREFECT_API_URL", address)
        assert main() == 1
    message = capsys.readouterr().err
    assert message.startswith("tls-sync remove failed: this is no pod with a ServiceAccount")
    assert message.count("\n") == 1
    assert requests == []


@pytest.mark.parametrize("host", ["[::1", "127.0.0.1:abc/api", "a b/api", "127.0.0.1:1/api"])
def test_an_address_that_leads_nowhere_is_named_without_its_password(host: str) -> None:
    """An address may contain user and password, as Prefect's own settings allow."""
    with pytest.raises(HookError, match=r"^(PREFECT_API_URL has to be|no Prefect server after)") as error:
        api_at(f"http://ops:hunter2@{host}").wait(0, lambda _: None)
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize(
    ("variable", "given"),
    [
        ("PREFECT_API_URL", "nonsense"),
        ("PREFECT_API_URL", "http://"),
        ("PREFECT_API_URL", "http://ops:hunter2/3@prefect/api"),
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
    """A setting that the hook can't use is one line, without traceback."""
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    monkeypatch.setenv(variable, given)
    monkeypatch.setattr("sys.argv", ["hook", "wait"])
    assert main() == 1
    message = capsys.readouterr().err
    seconds = f"is '{given}', and "
    assert message.startswith(
        f"tls-sync wait failed: {variable} {'has to be' if variable == 'PREFECT_API_URL' else seconds}"
    )
    assert message.count("\n") == 1
    assert "hunter2" not in message


def end(address: str, seconds: float = 60, patience: float = 30) -> list[str]:
    with httpx.Client(base_url=address, timeout=patience) as client:
        return end_jobs(client, "tls-sync", "tls-sync", seconds)


@pytest.mark.parametrize("problem", [429, 503, SILENCE])
def test_a_request_to_a_busy_or_silent_api_server_is_repeated(problem: int) -> None:
    """The removal waits for it as long as for the Jobs."""
    with answering(problem, problem, 200, content=b'{"items": []}') as (address, requests):
        assert end(address, patience=2 if problem == SILENCE else 30) == []
    assert len(requests) == 3


@pytest.mark.parametrize(("status", "seconds"), [(403, 60), (503, 0)])
def test_an_api_server_that_refuses_is_named(status: int, seconds: float) -> None:
    """One sentence with the status and what to check, and nothing that the server sent."""
    with answering(status, content=CANARY) as (address, requests):
        with pytest.raises(HookError, match=rf"HTTP {status}\. Check the Role tls-sync-remove") as error:
            end(address, seconds)
        assert len(requests) == 1
    assert CANARY.decode() not in str(error.value)


@pytest.mark.parametrize("status", [200, 404])
def test_a_claim_is_deleted_once(status: int) -> None:
    """A claim that is already gone, as after `kubectl delete`, is no error."""
    with answering(503, status) as (address, requests), httpx.Client(base_url=address) as client:
        delete_claim(client, "tls-sync", "tls-sync-results")
    assert requests == ["DELETE /api/api/v1/namespaces/tls-sync/persistentvolumeclaims/tls-sync-results"] * 2


def test_a_claim_that_may_not_be_deleted_is_named() -> None:
    """One sentence with the request, and nothing that the server sent."""
    with (
        answering(403, content=CANARY) as (address, _),
        httpx.Client(base_url=address) as client,
        pytest.raises(HookError, match=r"persistentvolumeclaims/tls-sync-results: HTTP 403") as error,
    ):
        delete_claim(client, "tls-sync", "tls-sync-results")
    assert CANARY.decode() not in str(error.value)


@pytest.mark.parametrize("claim", ["", "tls-sync-results"])
def test_the_claim_is_deleted_after_the_jobs(claim: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pods of the Jobs hold the claim; a release that made none deletes none."""
    done: list[str] = []

    def end(*_: object) -> list[str]:
        done.append("jobs")
        return []

    monkeypatch.setattr(removal, "in_cluster", lambda: (None, "tls-sync"))
    monkeypatch.setattr(removal, "_reachable", lambda *_: False)
    monkeypatch.setattr(removal, "end_jobs", end)
    monkeypatch.setattr(removal, "delete_claim", lambda *given: done.append(given[-1]))
    given = replace(Settings.read(), api_url="http://127.0.0.1:9/api", results_claim=claim)
    removal.remove(given, lambda _: None)
    assert done == (["jobs", claim] if claim else ["jobs"])
