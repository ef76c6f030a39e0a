"""A server that sends a byte now and then, which no read timeout ends, is cut off at the deadline."""

import socket
import threading
import time
from pathlib import Path

import pytest
from urllib3 import PoolManager, Timeout
from urllib3.exceptions import HTTPError, SSLError

from tasks.domain.errors import ClusterError
from tasks.domain.failure_codes import FailureCode
from tasks.kube.deadline import ConnectionDeadline
from tests.support import tls_server
from tests.support.tls_server import listening
from tests.unit.kubeconfig.test_reader import CA
from tests.unit.runtime.test_name_servers import client

BYTES = 600
SECONDS_PER_BYTE = 0.1
DEADLINE_SECONDS = 1.0
"""A sixtieth of what a whole drip takes."""
RECORD = b"\x16\x03\x03\x40\x00"
"""The head of a TLS record of 16 KiB, with a part of the handshake."""
OK = b"HTTP/1.1 200 OK\r\n"
HEADS = {
    "headers": OK + b"X-Drip: ",
    "body": OK + b"Content-Length: 600\r\n\r\n",
    "last body of a connection": OK + b"Connection: close\r\nContent-Length: 600\r\n\r\n",
    "body that ends with its connection": OK + b"\r\n",
    "body of HTTP/1.0": b"HTTP/1.0 200 OK\r\nContent-Length: 600\r\n\r\n",
    "size of a chunk": OK + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n",
}


class Drip:
    """Sends a head at once, and the rest byte by byte."""

    def __init__(self, head: bytes) -> None:
        self._head, self.sent = head, 0
        self.ended = threading.Event()
        """Set once all was sent, or the client has closed the connection."""

    def __call__(self, connection: socket.socket) -> None:
        try:
            connection.recv(65536)
            connection.sendall(self._head)
            for _ in range(BYTES):
                connection.sendall(b"0")
                self.sent += 1
                time.sleep(SECONDS_PER_BYTE)
        finally:
            self.ended.set()


def ask(address: str) -> ClusterError:
    with client(DEADLINE_SECONDS, f"https://{address}") as one, pytest.raises(ClusterError) as raised:
        one.cluster_id()
    return raised.value


@pytest.mark.parametrize("part", HEADS)
def test_a_response_that_drips_ends_with_the_deadline(tmp_path: Path, part: str) -> None:
    """Whichever part drips, and whether or not the connection could be used again."""
    drip = Drip(HEADS[part])
    with listening(tls_server.over_tls(tmp_path, *CA.serving(), drip)) as address:
        error = ask(address)
    assert drip.ended.wait(60)
    assert drip.sent < BYTES
    assert error.failure.code is FailureCode.DEADLINE


def test_a_handshake_that_drips_is_aborted() -> None:
    """The deadline aborts it, too: its own timeout begins anew once the connection is open."""
    drip, patient = Drip(RECORD), Timeout(2 * BYTES * SECONDS_PER_BYTE)
    with listening(drip) as address, PoolManager() as pool:
        deadline = ConnectionDeadline(pool, time.monotonic() + 3600)
        threading.Timer(DEADLINE_SECONDS, deadline.abort).start()
        with pytest.raises(SSLError):
            pool.request("GET", f"https://{address}", retries=False, timeout=patient)
        deadline.cancel()
    assert drip.ended.wait(60)
    assert 0 < drip.sent < BYTES


def test_a_response_that_urllib3_reads_ends_with_the_deadline() -> None:
    """A Pushgateway is asked so, and without TLS."""
    drip = Drip(HEADS["last body of a connection"])
    with listening(drip) as address, PoolManager() as pool:
        ConnectionDeadline(pool, time.monotonic() + DEADLINE_SECONDS)
        response = pool.request("GET", f"http://{address}", retries=False, preload_content=False)
        with pytest.raises(HTTPError):
            response.read()
    assert drip.ended.wait(60)
    assert drip.sent < BYTES
