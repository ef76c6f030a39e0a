"""Reads the certificates that addresses serve, by a TLS handshake with each; nothing is sent after it.

The chain is not verified, since an untrusted certificate has to be reported, too. An address has two seconds
in all, its name's resolution included, and fails nothing.
"""

import socket
import ssl
import threading
import time
from collections.abc import Iterable

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from tasks.domain.names import split_address
from tasks.runtime.resolver import connect
from tasks.runtime.silence import without_warnings
from tasks.served.compare import ProbeResults, ServedCertificate, TLSProbe

SECONDS = 2.0
"""Seconds that one address has for the resolution of its name, the connection and the handshake."""
MAX_CONCURRENCY = 500
"""Maximum number of addresses that are probed at the same time, a thread for each."""

MAX_SERIAL_BITS = 160
"""RFC 5280, section 4.1.2.2: at most 20 octets."""

LATE = f"no answer in {SECONDS:.0f} s"
ERRORS: tuple[tuple[type[Exception], str], ...] = (
    (TimeoutError, LATE),
    (socket.gaierror, "the name can't be resolved"),
    (UnicodeError, "the name can't be resolved"),
    (ConnectionRefusedError, "connection refused"),
    (ssl.SSLError, "no TLS handshake: another protocol, or TLS older than 1.2"),
    (ConnectionError, "the connection broke"),
    (OSError, "no connection"),
    (ValueError, "the certificate can't be parsed"),
)


def probe_all(probes: Iterable[TLSProbe], seconds: float = SECONDS) -> ProbeResults:
    """Return the leaf that each address serves, or why there is none, within `seconds` per batch."""
    waiting, results = sorted(probes), dict[TLSProbe, ServedCertificate | str]()
    while waiting:
        batch, waiting = waiting[:MAX_CONCURRENCY], waiting[MAX_CONCURRENCY:]
        results |= _probe_batch(batch, seconds)
    return results


def _probe_batch(probes: list[TLSProbe], seconds: float) -> dict[TLSProbe, ServedCertificate | str]:
    """Probe in daemon threads: those that are late are not waited for."""
    found: dict[TLSProbe, ServedCertificate | str] = {}
    deadline = time.monotonic() + seconds

    def probe_one(probe: TLSProbe) -> None:
        found[probe] = _probe(probe, deadline)

    threads = [threading.Thread(target=probe_one, args=(one,), daemon=True) for one in probes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    in_time = dict(found)
    return {one: in_time.get(one, LATE) for one in probes}


def _probe(probe: TLSProbe, deadline: float) -> ServedCertificate | str:
    try:
        return read_leaf(_handshake(probe, deadline))
    except Exception as error:  # noqa: BLE001  its text could contain anything; an error is a result, too
        return next((text for kind, text in ERRORS if isinstance(error, kind)), type(error).__name__)


def _handshake(probe: TLSProbe, deadline: float) -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # only fingerprint and serial are compared
    with (
        connect(split_address(probe.address) or ("", 0), deadline) as plain,
        context.wrap_socket(plain, server_hostname=probe.name, do_handshake_on_connect=False) as encrypted,
    ):
        encrypted.settimeout(_left(deadline))  # for the handshake as a whole
        encrypted.do_handshake()
        return encrypted.getpeercert(binary_form=True) or b""


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def read_leaf(der: bytes) -> ServedCertificate:
    """Parse a certificate. Raises ValueError if it is none, or its serial number is too long."""
    with without_warnings:
        leaf = x509.load_der_x509_certificate(der)
        if leaf.serial_number.bit_length() > MAX_SERIAL_BITS:  # a report would show all of it
            raise ValueError("too long a serial number")
        return ServedCertificate(
            sha256=leaf.fingerprint(hashes.SHA256()).hex(),
            serial=f"{leaf.serial_number:x}",
            names=_names(leaf),
            not_before=leaf.not_valid_before_utc,
            not_after=leaf.not_valid_after_utc,
        )


def _names(leaf: x509.Certificate) -> tuple[str, ...]:
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(names.get_values_for_type(x509.DNSName))
