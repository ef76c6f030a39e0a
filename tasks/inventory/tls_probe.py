"""Asks addresses which certificate they serve: a TLS handshake each, and nothing is sent after it.

Trust is not verified: the question is which certificate is served, and one that nobody trusts must be told,
too. No address can delay or fail anything: it has two seconds in all, its name's resolution included.
"""

import socket
import ssl
import threading
import time
from collections.abc import Iterable

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from tasks.domain.names import split_address
from tasks.inventory.served import ServedCertificate, TLSProbe
from tasks.runtime.resolver import connect
from tasks.runtime.silence import without_warnings

SECONDS = 2.0
"""For one address."""
SIDE_BY_SIDE = 500

LATE = f"no answer in {SECONDS:.0f} s"
TROUBLES: tuple[tuple[type[Exception], str], ...] = (
    (TimeoutError, LATE),
    (socket.gaierror, "the name can't be resolved"),
    (UnicodeError, "the name can't be resolved"),
    (ConnectionRefusedError, "connection refused"),
    (ssl.SSLError, "no TLS handshake: another protocol, or TLS older than 1.2"),
    (ConnectionError, "the connection broke"),
    (OSError, "no connection"),
    (ValueError, "the certificate can't be parsed"),
)


def probe_all(
    questions: Iterable[TLSProbe], seconds: float = SECONDS
) -> dict[TLSProbe, ServedCertificate | str]:
    """The leaf that each address serves, or why it can't be told. All side by side."""
    waiting, answers = sorted(questions), dict[TLSProbe, ServedCertificate | str]()
    while waiting:
        batch, waiting = waiting[:SIDE_BY_SIDE], waiting[SIDE_BY_SIDE:]
        answers |= _ask_batch(batch, seconds)
    return answers


def _ask_batch(questions: list[TLSProbe], seconds: float) -> dict[TLSProbe, ServedCertificate | str]:
    """Threads that nobody waits for at the end."""
    found: dict[TLSProbe, ServedCertificate | str] = {}
    deadline = time.monotonic() + seconds

    def ask_one(question: TLSProbe) -> None:
        found[question] = _ask(question, deadline)

    threads = [threading.Thread(target=ask_one, args=(one,), daemon=True) for one in questions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    answered = dict(found)
    return {one: answered.get(one, LATE) for one in questions}


def _ask(question: TLSProbe, deadline: float) -> ServedCertificate | str:
    try:
        return read_leaf(_shake_hands(question, deadline))
    except Exception as error:  # noqa: BLE001  its text could hold anything; an answer all the same
        return next((text for kind, text in TROUBLES if isinstance(error, kind)), type(error).__name__)


def _shake_hands(question: TLSProbe, deadline: float) -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # see above; only the fingerprint is compared
    with (
        connect(split_address(question.address) or ("", 0), deadline) as plain,
        context.wrap_socket(plain, server_hostname=question.name, do_handshake_on_connect=False) as encrypted,
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
    """Its facts. ValueError where it is no certificate."""
    with without_warnings:
        leaf = x509.load_der_x509_certificate(der)
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
