"""TLS probes of real servers, and of what is none."""

import socket
import threading
import warnings
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from deployments.sandbox.clusters import pki
from deployments.sandbox.world.cert_manager import Issuer
from tasks.served import tls_probe
from tasks.served.compare import ServedCertificate, TLSProbe
from tasks.served.tls_probe import probe_all, read_leaf
from tests.support import chain_cases, tls_server
from tests.support.tcp_proxy import black_hole
from tests.support.tls_server import listening

NAME, OTHER = "web.example.org", "api.example.org"
ISSUER = Issuer()
PATIENT = 60.0
"""Seconds for servers that answer: a busy machine is no reason to fail."""


def pair(*names: str) -> tuple[tuple[bytes, bytes], ServedCertificate]:
    key = pki.new_key()
    leaf = ISSUER.leaf(key, names)
    chain = pki.pem(leaf, ISSUER.intermediate.certificate)
    return (pki.key_pem(key), chain), read_leaf(leaf.public_bytes(Encoding.DER))


def probe(address: str, name: str = NAME, seconds: float = PATIENT) -> ServedCertificate | str:
    one = TLSProbe(address, name)
    return probe_all([one], seconds)[one]


def test_a_negative_serial_number_causes_no_warning() -> None:
    """A negative serial number is shown as it is, also where warnings are errors."""
    negative = chain_cases.negative_leaf()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_leaf(negative.public_bytes(Encoding.DER)).serial.startswith("-")


def test_the_served_certificate_is_the_one_for_the_name(tmp_path: Path) -> None:
    """The result is the leaf that the server has for the server name of the probe."""
    (web, web_leaf), (api, api_leaf) = pair(NAME), pair(OTHER)
    with listening(tls_server.tls_server(tmp_path, {NAME: web, OTHER: api}, default=OTHER)) as address:
        assert probe(address, NAME) == web_leaf
        assert probe(address, OTHER) == api_leaf
        assert probe(address, "unknown.example.org") == api_leaf


def test_an_untrusted_certificate_is_a_result(tmp_path: Path) -> None:
    """An expired certificate of an unknown issuer is a result, since the chain is not verified."""
    key, issuer = pki.new_key(), Issuer()
    leaf = issuer.leaf(key, [NAME], issuer.now.replace(year=2020), issuer.now.replace(year=2021))
    served = {NAME: (pki.key_pem(key), pki.pem(leaf))}
    with listening(tls_server.tls_server(tmp_path, served, default=NAME)) as address:
        found = probe(address)
    assert isinstance(found, ServedCertificate)
    assert found.not_after.year == 2021


@pytest.mark.parametrize(
    ("serve", "expected"),
    [
        (tls_server.plaintext, "no TLS handshake: another protocol, or TLS older than 1.2"),
        (tls_server.hangs_up, None),
    ],
)
def test_a_server_without_tls_is_a_sentence(serve: Any, expected: str | None) -> None:
    """A server of another protocol, or one that closes the connection, is a sentence, not an error."""
    with listening(serve) as address:
        found = probe(address)
    assert isinstance(found, str)
    assert expected in (None, found)


def test_a_refused_connection_is_a_sentence() -> None:
    """An address where nothing listens is a sentence, not an error."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert probe(f"127.0.0.1:{port}") == "connection refused"


@pytest.mark.parametrize("serve", [tls_server.never_answers, tls_server.drips])
def test_a_server_that_never_answers_is_given_up(serve: Any) -> None:
    """The probe ends after its seconds, even if the server keeps sending bytes."""
    with listening(serve) as address:
        assert probe(address, seconds=0.5) == tls_probe.LATE


def test_an_address_that_takes_no_connection_is_given_up() -> None:
    """The probe ends after its seconds if packets are dropped, as by a firewall."""
    with black_hole() as url:
        assert probe(url.removeprefix("https://"), seconds=0.5) == tls_probe.LATE


def test_a_name_that_is_never_resolved_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The probe ends after its seconds although the resolution can't be cancelled."""
    ended = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: ended.wait(PATIENT))
    try:
        assert probe("slow.example.org", seconds=0.5) == tls_probe.LATE
        assert not ended.is_set()
    finally:
        ended.set()


@pytest.mark.parametrize("host", ["nowhere.invalid", f"{'a' * 64}.example.org"])
def test_a_name_that_does_not_exist_is_a_sentence(host: str) -> None:
    """A name that the name server does not know, or that is too long, is a sentence, not an error."""
    assert probe(host) in ("the name can't be resolved", tls_probe.LATE)


def test_the_second_address_of_a_name_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the first address of a name does not answer, the next one gets a share of the time."""
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
        assert probe("two.example.org", seconds=8.0) == leaf


def test_addresses_are_probed_concurrently() -> None:
    """A hundred probes are connected at the same time: none waits for the result of another."""
    all_are_here = threading.Barrier(100, timeout=PATIENT)

    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        all_are_here.wait()

    with listening(serve) as address:
        found = probe_all([TLSProbe(address, f"n{number}.example.org") for number in range(100)], PATIENT)
    assert not all_are_here.broken
    assert tls_probe.LATE not in found.values()


def test_more_addresses_than_threads_are_probed_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many addresses there are, at most MAX_CONCURRENCY are probed at once, and each has a result."""
    monkeypatch.setattr(tls_probe, "MAX_CONCURRENCY", 3)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    probes = [TLSProbe(f"127.0.0.1:{port}", f"n{number}.example.org") for number in range(10)]
    assert set(probe_all(probes, PATIENT).values()) == {"connection refused"}


def test_an_invalid_certificate_is_an_error() -> None:
    """Bytes that are no certificate raise ValueError."""
    with pytest.raises(ValueError, match=r"\w"):
        read_leaf(b"nothing of the kind")


def test_a_serial_number_that_no_authority_gives_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A foreign server does not choose how long a report gets: RFC 5280 allows 20 octets."""
    assert tls_probe.MAX_SERIAL_BITS == 160
    leaf = ISSUER.leaf(pki.new_key(), (NAME,)).public_bytes(Encoding.DER)
    monkeypatch.setattr(tls_probe, "MAX_SERIAL_BITS", 8)
    with pytest.raises(ValueError, match="serial"):
        read_leaf(leaf)
