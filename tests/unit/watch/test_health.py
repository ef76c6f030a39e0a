"""What kubelet and Prometheus are told over HTTP."""

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
def alive() -> Heartbeat:
    return Heartbeat()


@pytest.fixture
def address(alive: Heartbeat) -> Iterator[str]:
    server = serve(0, alive, lambda: (b"tls_sync_up 1\n", "text/plain"))
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def ask(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_silence_turns_it_red(address: str, alive: Heartbeat) -> None:
    """Green until the last sign of life is too long ago, and green again with the next one."""
    assert ask(f"{address}/healthz")[0] == HTTPStatus.OK
    alive._last_beat -= 61.0
    assert ask(f"{address}/healthz")[0] == HTTPStatus.SERVICE_UNAVAILABLE
    alive.beat()
    assert ask(f"{address}/healthz")[0] == HTTPStatus.OK


def test_metrics_are_served(address: str) -> None:
    """What Prometheus scrapes is what is given, and nothing else is found."""
    assert ask(f"{address}/metrics") == (HTTPStatus.OK, "tls_sync_up 1\n")
    assert ask(f"{address}/")[0] == HTTPStatus.NOT_FOUND


def test_a_port_that_is_taken_is_named(address: str, alive: Heartbeat) -> None:
    """Who starts a second watcher on one machine is told what to change."""
    port = int(address.rpartition(":")[2])
    with pytest.raises(ConfigError, match=f"port {port}: Address already in use; choose another"):
        serve(port, alive, lambda: (b"", ""))


def test_it_listens_on_ipv6_as_well(address: str) -> None:
    """A pod may have nothing else."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as error:
        pytest.skip(f"this machine has no IPv6: {error}")
    port = address.rpartition(":")[2]
    assert ask(f"http://[::1]:{port}/metrics") == (HTTPStatus.OK, "tls_sync_up 1\n")


def test_who_hangs_up_leaves_no_traceback(address: str, capfd: pytest.CaptureFixture[str]) -> None:
    """A scrape that is cut is no matter of ours."""
    host, _, port = address.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port))) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.sendall(b"GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n" * 50)
    assert ask(f"{address}/healthz")[0] == HTTPStatus.OK
    assert capfd.readouterr().err == ""
