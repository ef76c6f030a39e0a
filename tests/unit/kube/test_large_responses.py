"""Large answers: what counts is taken from one at a time, and until then it waits as it came."""

import gzip
import io
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from urllib3 import HTTPResponse

from tasks.domain.failure_codes import FailureCode
from tasks.kube import transport
from tasks.kube.client import _without_managed_fields
from tasks.kube.responses import ResponseError, unpack
from tasks.kube.transport import Request, Response, Transport, _read

PAGE = json.dumps({"kind": "Table", "metadata": {}}).encode()
LOST = ResponseError(FailureCode.CONNECTION_LOST, transient=True)


def read(
    ask: Request, status: int = 200, content: bytes = PAGE, encoding: str = ""
) -> Response | ResponseError:
    headers = {"Content-Encoding": encoding} if encoding else {}
    return _read(ask, HTTPResponse(status=status, headers=headers), bytearray(content))


def test_one_large_answer_at_a_time_is_whole_in_memory() -> None:
    """Sixteen clusters that answer at once are unpacked and read one after the other."""
    lock, whole, most = threading.Lock(), 0, 0

    def take(page: dict[str, Any]) -> dict[str, Any]:
        nonlocal whole, most
        with lock:
            whole += 1
            most = max(most, whole)
        time.sleep(0.01)
        with lock:
            whole -= 1
        return page

    ask = Request("GET", "/", "application/json", read=take)
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: read(ask), range(16)))
    assert most == 1
    assert answers == [Response(200, {"kind": "Table", "metadata": {}}, len(PAGE))] * 16


def test_an_answer_waits_as_it_came(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read from the connection still packed, and unpacked when its turn has come."""
    packed, unpacked = gzip.compress(PAGE), threading.Event()
    connection = HTTPResponse(io.BytesIO(packed), headers={"Content-Encoding": "gzip"}, preload_content=False)
    reader = object.__new__(Transport)
    reader._deadline = time.monotonic() + 60
    assert reader._drain(connection, 1000) == packed

    def unpack_and_tell(*given: Any) -> Any:
        unpacked.set()
        return unpack(*given)

    monkeypatch.setattr(transport, "unpack", unpack_and_tell)
    ask = Request("GET", "/", "application/json", read=dict)
    with ThreadPoolExecutor(1) as pool:
        with transport._whole:  # another one is being read
            waiting = pool.submit(read, ask, 200, packed, "gzip")
            assert not unpacked.wait(0.2)
        assert waiting.result() == Response(200, {"kind": "Table", "metadata": {}}, len(PAGE))
    assert unpacked.is_set()


def test_nothing_is_taken_from_a_refusal() -> None:
    """What reads a page never sees an answer that is none, and the next page is read all the same."""
    ask = Request("GET", "/", "application/json", read=lambda page: {"rows": page["kind"]})
    assert isinstance(read(ask, 403), ResponseError)
    assert read(ask) == Response(200, {"rows": "Table"}, len(PAGE))


@pytest.mark.parametrize("taken", [None, dict])
def test_a_packed_answer_counts_as_what_it_holds(taken: Any) -> None:
    """Its size and its limit are those of the text in it, packed or not."""
    packed, more = gzip.compress(PAGE), gzip.compress(PAGE + b" " * 500)
    ask = Request("GET", "/", "application/json", read=taken, max_bytes=len(PAGE) + 50)
    whole = Response(200, {"kind": "Table", "metadata": {}}, len(PAGE))
    assert read(ask, content=packed, encoding="gzip") == read(ask) == whole
    assert read(ask, content=more, encoding="gzip") == ResponseError(FailureCode.TOO_MUCH)
    assert read(ask, 500, more, "gzip") == ResponseError(FailureCode.TOO_MUCH)


def test_what_is_packed_otherwise_or_not_whole_is_no_answer() -> None:
    """An answer cut short may be a write that took place; an encoding that nobody asked for is a proxy's."""
    packed = gzip.compress(PAGE)
    assert unpack(packed, "GZIP", len(PAGE)) == PAGE
    for broken in (packed[:-1], packed[:-9], packed[:5], b"no", packed[:-8] + bytes(8)):
        assert unpack(broken, "gzip", 1000) == LOST
    for encoding in ("br", "deflate", "gzip, gzip"):
        assert unpack(packed, encoding, 1000) == ResponseError(
            FailureCode.PROTOCOL, "an encoding that nobody asked for"
        )
    for encoding in ("", "identity", "gzip"):
        assert unpack(b"", encoding, 1000) == b""


def test_who_wrote_a_secret_of_ops_is_not_kept() -> None:
    """Half of what a page takes decides nothing there; what is malformed is left to who examines it."""
    name = {"name": "web-tls"}
    items: list[Any] = [{"metadata": {**name, "managedFields": [{}]}, "data": {}}, {"metadata": None}, None]
    page = _without_managed_fields({"items": items})
    assert page == {"items": [{"metadata": name, "data": {}}, {"metadata": None}, None]}
    assert _without_managed_fields({"items": None}) == {"items": None}


def test_an_answer_bears_the_servers_time() -> None:
    """The server's time is there whether or not the answer is used; without a Date header there is none."""
    told = datetime(2026, 3, 1, 12, tzinfo=UTC)
    for taken in (None, dict):
        ask = Request("GET", "/", "application/json", read=taken)
        for headers, date in (({"Date": "Sun, 01 Mar 2026 12:00:00 GMT"}, told), ({}, None)):
            reply = _read(ask, HTTPResponse(status=200, headers=headers), bytearray(PAGE))
            assert isinstance(reply, Response)
            assert reply.date == date
