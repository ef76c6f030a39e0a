"""What kubelet and Prometheus get over HTTP."""

import socket
import struct
import urllib.error
import urllib.request
from collections.abc import Iterator
from http import HTTPStatus

import pytest

from tasks.domain.errors import ConfigError
from tasks.watch.health import Heartbeat, serve


@pytest.fixture
def heartbeat() -> Heartbeat:
    return Heartbeat()


@pytest.fixture
def address(heartbeat: Heartbeat) -> Iterator[str]:
    server = serve(0, heartbeat, lambda: (b"tls_sync_up 1\n", "text/plain"))
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=30) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_silence_makes_it_unhealthy(address: str, heartbeat: Heartbeat) -> None:
    """`/healthz` answers 503 once the last sign of life is too long ago, and 200 after the next one."""
    assert get(f"{address}/healthz")[0] == HTTPStatus.OK
    heartbeat._last_beat -= 61.0
    assert get(f"{address}/healthz")[0] == HTTPStatus.SERVICE_UNAVAILABLE
    heartbeat.beat()
    assert get(f"{address}/healthz")[0] == HTTPStatus.OK


def test_metrics_are_served(address: str) -> None:
    """`/metrics` returns the given body, and any other path is 404."""
    assert get(f"{address}/metrics") == (HTTPStatus.OK, "tls_sync_up 1\n")
    assert get(f"{address}/")[0] == HTTPStatus.NOT_FOUND


def test_a_port_that_is_taken_is_named(address: str, heartbeat: Heartbeat) -> None:
    """The error names the port and the option that changes it."""
    port = int(address.rpartition(":")[2])
    with pytest.raises(ConfigError, match=f"port {port}: Address already in use; choose another"):
        serve(port, heartbeat, lambda: (b"", ""))


def test_it_listens_on_ipv6_as_well(address: str) -> None:
    """A pod of an IPv6 cluster has no IPv4 address."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as error:
        pytest.skip(f"this machine has no IPv6: {error}")
    port = address.rpartition(":")[2]
    assert get(f"http://[::1]:{port}/metrics") == (HTTPStatus.OK, "tls_sync_up 1\n")


def test_a_closed_connection_leaves_no_traceback(address: str, capfd: pytest.CaptureFixture[str]) -> None:
    """A client that resets its connection causes no log, and the next request is answered."""
    host, _, port = address.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port))) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.sendall(b"GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n" * 50)
    assert get(f"{address}/healthz")[0] == HTTPStatus.OK
    assert capfd.readouterr().err == ""
