"""Large responses are parsed one at a time, and stay compressed until then."""

import gzip
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest

from tasks.domain.failure_codes import FailureCode
from tasks.kube import transport
from tasks.kube.client import _with_times_only
from tasks.kube.responses import ResponseError, decompress
from tasks.kube.transport import Request, Response, Transport, _parse
from tests.support.open_response import open_response

PAGE = json.dumps({"kind": "Table", "metadata": {}}).encode()
LOST = ResponseError(FailureCode.CONNECTION_LOST, transient=True)


def parse(
    request: Request, status: int = 200, content: bytes = PAGE, encoding: str = ""
) -> Response | ResponseError:
    headers = {"Content-Encoding": encoding} if encoding else {}
    return _parse(request, open_response(status, headers), content)


def test_only_one_large_response_at_a_time_is_parsed() -> None:
    """Sixteen responses that arrive at once are decompressed and parsed one after the other."""
    lock, parsing, peak = threading.Lock(), 0, 0

    def extract(page: dict[str, Any]) -> dict[str, Any]:
        nonlocal parsing, peak
        with lock:
            parsing += 1
            peak = max(peak, parsing)
        time.sleep(0.01)
        with lock:
            parsing -= 1
        return page

    request = Request("GET", "/", "application/json", extract=extract)
    with ThreadPoolExecutor(16) as pool:
        responses = list(pool.map(lambda _: parse(request), range(16)))
    assert peak == 1
    assert responses == [Response(200, {"kind": "Table", "metadata": {}}, len(PAGE))] * 16


def test_a_response_stays_compressed_until_it_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read from the connection compressed, and decompressed once no other one is being parsed."""
    compressed, decompressed = gzip.compress(PAGE), threading.Event()
    response = open_response(200, {"Content-Encoding": "gzip"}, compressed)
    reader = object.__new__(Transport)
    reader._deadline = time.monotonic() + 60
    assert reader._read_body(response, 1000) == compressed

    def recorded(*arguments: Any) -> Any:
        decompressed.set()
        return decompress(*arguments)

    monkeypatch.setattr(transport, "decompress", recorded)
    request = Request("GET", "/", "application/json", extract=dict)
    with ThreadPoolExecutor(1) as pool:
        with transport._parse_lock:  # another response is being parsed
            waiting = pool.submit(parse, request, 200, compressed, "gzip")
            assert not decompressed.wait(0.2)
        assert waiting.result() == Response(200, {"kind": "Table", "metadata": {}}, len(PAGE))
    assert decompressed.is_set()


def test_nothing_is_extracted_from_a_refusal() -> None:
    """`extract` sees no error response, and an error response does not block the next page."""
    request = Request("GET", "/", "application/json", extract=lambda page: {"rows": page["kind"]})
    assert isinstance(parse(request, 403), ResponseError)
    assert parse(request) == Response(200, {"rows": "Table"}, len(PAGE))


@pytest.mark.parametrize("extract", [None, dict])
def test_the_size_of_a_response_is_its_decompressed_size(extract: Any) -> None:
    """Size and limit count the bytes of the text, compressed or not."""
    compressed, larger = gzip.compress(PAGE), gzip.compress(PAGE + b" " * 500)
    request = Request("GET", "/", "application/json", extract=extract, max_bytes=len(PAGE) + 50)
    whole = Response(200, {"kind": "Table", "metadata": {}}, len(PAGE))
    assert parse(request, content=compressed, encoding="gzip") == parse(request) == whole
    assert parse(request, content=larger, encoding="gzip") == ResponseError(FailureCode.TOO_MUCH)
    assert parse(request, 500, larger, "gzip") == ResponseError(FailureCode.TOO_MUCH)


def test_managed_fields_of_ops_are_dropped() -> None:
    """They are half of a page, of which only the last time counts; malformed objects are left as they are."""
    times = ["2026-03-01T12:00:00Z", "2026-03-02T12:00:00Z", "2026-02-01T12:00:00Z"]
    metadata = {"name": "web-tls", "managedFields": [{"time": one, "fieldsV1": {}} for one in times]}
    items: list[Any] = [{"metadata": metadata, "data": {}}, {"metadata": None}, None]
    kept = {"name": "web-tls", "managedFields": [{"time": times[1]}]}
    page = _with_times_only({"items": items})
    assert page == {"items": [{"metadata": kept, "data": {}}, {"metadata": None}, None]}
    assert _with_times_only({"items": None}) == {"items": None}


def test_a_response_has_the_servers_time() -> None:
    """It is the Date header, with `extract` or without; without that header there is none."""
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    for extract in (None, dict):
        request = Request("GET", "/", "application/json", extract=extract)
        for headers, date in (({"Date": "Sun, 01 Mar 2026 12:00:00 GMT"}, noon), ({}, None)):
            response = _parse(request, open_response(200, headers), PAGE)
            assert isinstance(response, Response)
            assert response.date == date
