"""Our TLS contexts verify as Python's default does, and log no session keys."""

import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tasks.kube.client import ClusterClient
from tasks.kubeconfig.reader import parse_access
from tasks.metrics.push import push
from tasks.metrics.pushgateway import ADDRESS
from tasks.metrics.pushgateway import CA as GATEWAY_CA
from tasks.runtime.tls import KEY_LOG, tls_context
from tasks.served.compare import ServedCertificate, TLSProbe
from tasks.served.tls_probe import probe_all
from tests.support import tls_server
from tests.support.metrics_example import report
from tests.support.tls_server import listening
from tests.support.waiting import until
from tests.unit.flows.test_run import EXAMPLE, ROOT
from tests.unit.kubeconfig.test_reader import CA, document
from tests.unit.runtime.test_name_servers import KUBE_SYSTEM

TIMEOUT = 60.0


def test_a_context_is_pythons_default_one() -> None:
    """It has the CAs and the strictness of Python's default context, in each version of Python."""
    ours, theirs = (make(cadata=CA.pem.decode()) for make in (tls_context, ssl.create_default_context))
    names = ("verify_mode", "check_hostname", "verify_flags", "options", "minimum_version", "maximum_version")
    for name in (*names, "protocol", "security_level", "hostname_checks_common_name"):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert ours.get_ciphers() == theirs.get_ciphers()
    assert ours.get_ca_certs(binary_form=True) == [ssl.PEM_cert_to_DER_cert(CA.pem.decode())]
    assert tls_context().cert_store_stats() == ssl.create_default_context().cert_store_stats()


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a TLS server; SSLKEYLOGFILE names tmp_path/keys."""
    with listening(tls_server.answering(tmp_path, *CA.serving(), KUBE_SYSTEM)) as found:
        monkeypatch.setenv(KEY_LOG, str(tmp_path / "keys"))
        yield found


def by_python(address: str) -> None:
    """Connect with Python's default context."""
    with (
        socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2]))) as plain,
        ssl.create_default_context(cadata=CA.pem.decode()).wrap_socket(plain, server_hostname="127.0.0.1"),
    ):
        pass


def by_the_transport(address: str) -> None:
    written = document()
    written["clusters"][0]["cluster"]["server"] = f"https://{address}"
    access = parse_access("dev", "cluster-dev", written)
    with ClusterClient("dev", access, time.monotonic() + TIMEOUT) as client:
        assert client.cluster_id() in KUBE_SYSTEM


def to_the_pushgateway(address: str) -> None:
    os.environ |= {ADDRESS: f"https://{address}", GATEWAY_CA: CA.pem.decode()}
    until("a push over TLS", lambda: push(report(group="eu")) == "")


def by_a_handshake(address: str) -> None:
    question = TLSProbe(address, "web.example.org")
    assert isinstance(probe_all([question], TIMEOUT)[question], ServedCertificate)


@pytest.mark.parametrize("speak", [by_the_transport, to_the_pushgateway, by_a_handshake])
def test_no_session_key_is_written(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, speak: Callable[[str], None]
) -> None:
    """SSLKEYLOGFILE has no effect: with the keys, recorded traffic could be decrypted."""
    for name in (ADDRESS, GATEWAY_CA):
        monkeypatch.setenv(name, "")
    speak(address)
    assert not (tmp_path / "keys").exists()
    by_python(address)
    assert b"SECRET" in (tmp_path / "keys").read_bytes(), "this Python ignores the variable"


def test_an_sslkeylogfile_that_can_not_be_written_fails_nothing(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It fails Python's own context only."""
    monkeypatch.setenv(KEY_LOG, "/nowhere/keys")
    by_the_transport(address)


@pytest.mark.parametrize("command", [["flows"], ["flows", "--history"]])
def test_prefects_client_writes_no_session_key_either(
    address: str, tmp_path: Path, command: list[str]
) -> None:
    """Commands remove SSLKEYLOGFILE for the libraries and processes that they use, too."""
    environment = os.environ | {
        "TLS_SYNC_CONFIG": str(EXAMPLE),
        "PREFECT_HOME": str(tmp_path),
        "PREFECT_API_URL": f"https://{address}/api",
        "PREFECT_API_SSL_CERT_FILE": str(tmp_path / "ca.pem"),
    }
    (tmp_path / "ca.pem").write_bytes(CA.pem)
    subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, env=environment, capture_output=True, check=False
    )
    assert not (tmp_path / "keys").exists()
