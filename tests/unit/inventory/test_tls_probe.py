"""Which certificate an address serves, asked of real servers, and of what is none."""

import socket
import threading
import warnings
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from deployments.sandbox.clusters import pki
from deployments.sandbox.world.cert_manager import Issuer
from tasks.inventory import tls_probe
from tasks.inventory.served import ServedCertificate, TLSProbe
from tasks.inventory.tls_probe import probe_all, read_leaf
from tests.support import chain_cases, tls_server
from tests.support.tcp_proxy import black_hole
from tests.support.tls_server import listening

NAME, OTHER = "web.example.org", "api.example.org"
ISSUER = Issuer()
PATIENT = 60.0
"""For servers that answer: a busy machine is no reason to fail."""


def pair(*names: str) -> tuple[tuple[bytes, bytes], ServedCertificate]:
    key = pki.new_key()
    leaf = ISSUER.leaf(key, names)
    chain = pki.pem(leaf, ISSUER.intermediate.certificate)
    return (pki.key_pem(key), chain), read_leaf(leaf.public_bytes(Encoding.DER))


def ask(address: str, name: str = NAME, seconds: float = PATIENT) -> ServedCertificate | str:
    question = TLSProbe(address, name)
    return probe_all([question], seconds)[question]


def test_an_odd_certificate_is_told_without_a_warning() -> None:
    """A negative serial number is shown as it is, even where warnings are errors."""
    negative = chain_cases.negative_leaf()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_leaf(negative.public_bytes(Encoding.DER)).serial.startswith("-")


def test_the_served_certificate_is_the_one_for_the_name(tmp_path: Path) -> None:
    """The leaf is told, of the certificate that the server has for the name that was asked for."""
    (web, web_leaf), (api, api_leaf) = pair(NAME), pair(OTHER)
    with listening(tls_server.tls_server(tmp_path, {NAME: web, OTHER: api}, default=OTHER)) as address:
        assert ask(address, NAME) == web_leaf
        assert ask(address, OTHER) == api_leaf
        assert ask(address, "unknown.example.org") == api_leaf


def test_a_certificate_that_nobody_trusts_is_told(tmp_path: Path) -> None:
    """Trust is another question: an expired one from an unknown issuer has to be seen, too."""
    key, issuer = pki.new_key(), Issuer()
    leaf = issuer.leaf(key, [NAME], issuer.now.replace(year=2020), issuer.now.replace(year=2021))
    served = {NAME: (pki.key_pem(key), pki.pem(leaf))}
    with listening(tls_server.tls_server(tmp_path, served, default=NAME)) as address:
        found = ask(address)
    assert isinstance(found, ServedCertificate)
    assert found.not_after.year == 2021


@pytest.mark.parametrize(
    ("serve", "expected"),
    [
        (tls_server.plaintext, "no TLS handshake: another protocol, or TLS older than 1.2"),
        (tls_server.hangs_up, None),
    ],
)
def test_what_speaks_no_tls_is_told(serve: Any, expected: str | None) -> None:
    """A server of another protocol, or one that hangs up, is a sentence and no error."""
    with listening(serve) as address:
        found = ask(address)
    assert isinstance(found, str)
    assert expected in (None, found)


def test_a_refused_connection_is_told() -> None:
    """Nobody listens there."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert ask(f"127.0.0.1:{port}") == "connection refused"


@pytest.mark.parametrize("serve", [tls_server.never_answers, tls_server.drips])
def test_a_server_that_never_answers_is_given_up(serve: Any) -> None:
    """After its seconds, however it keeps the connection alive."""
    with listening(serve) as address:
        assert ask(address, seconds=0.5) == tls_probe.LATE


def test_an_address_that_takes_no_connection_is_given_up() -> None:
    """As one behind a firewall that drops."""
    with black_hole() as url:
        assert ask(url.removeprefix("https://"), seconds=0.5) == tls_probe.LATE


def test_a_name_that_is_never_resolved_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The resolution can't be called off, so nobody waits for it."""
    ended = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: ended.wait(PATIENT))
    try:
        assert ask("slow.example.org", seconds=0.5) == tls_probe.LATE
        assert not ended.is_set()
    finally:
        ended.set()


@pytest.mark.parametrize("host", ["nowhere.invalid", f"{'a' * 64}.example.org"])
def test_a_name_that_does_not_exist_is_told(host: str) -> None:
    """The name server's word, or the resolver's own."""
    assert ask(host) in ("the name can't be resolved", tls_probe.LATE)


def test_the_second_address_of_a_name_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the first one of a name is dead, the next one has its share of the time."""
    web, leaf = pair(NAME)
    with (
        black_hole() as url,
        listening(tls_server.tls_server(tmp_path, {NAME: web}, default=NAME)) as address,
    ):
        places = [url.removeprefix("https://"), address]
        found = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", int(place.rpartition(":")[2])))
            for place in places
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        assert ask("two.example.org", seconds=8.0) == leaf


def test_addresses_are_asked_side_by_side() -> None:
    """A hundred are connected to at once: none waits for the answer of another."""
    all_are_here = threading.Barrier(100, timeout=PATIENT)

    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        all_are_here.wait()

    with listening(serve) as address:
        found = probe_all([TLSProbe(address, f"n{number}.example.org") for number in range(100)], PATIENT)
    assert not all_are_here.broken
    assert tls_probe.LATE not in found.values()


def test_more_than_go_at_once_are_asked_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """No number of addresses makes more threads than that, and none is forgotten."""
    monkeypatch.setattr(tls_probe, "SIDE_BY_SIDE", 3)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    asked = [TLSProbe(f"127.0.0.1:{port}", f"n{number}.example.org") for number in range(10)]
    assert set(probe_all(asked, PATIENT).values()) == {"connection refused"}


def test_what_is_no_certificate_is_no_leaf() -> None:
    """Whatever a server sends as one."""
    with pytest.raises(ValueError, match=r"\w"):
        read_leaf(b"nothing of the kind")
