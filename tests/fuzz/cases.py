"""The cases and their outcomes. The same seed and number give the same case, byte by byte."""

import base64
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import deepcopy
from datetime import timedelta
from functools import cache
from random import Random
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.serialization import Encoding, PrivateFormat
from cryptography.x509.oid import NameOID

from deployments.sandbox.clusters.manifests import Manifest
from tasks.config.schema import Source
from tasks.domain import annotations
from tasks.domain.models import Certificate, Rejection, SecretRef, TargetSecret
from tasks.domain.reasons import Reason
from tasks.kube import target_secrets
from tasks.kube.responses import parse_json
from tasks.plan import ownership
from tasks.source.checks import Policy, check_secret
from tasks.source.statuses import add_certificate, empty_statuses
from tests.fuzz.mutations import spoil_json, spoil_pem
from tests.support.der_writer import pem
from tests.support.factories import NOW
from tests.support.written_keys import PKCS1, PKCS8, SEC1, AnyKey, der_of, next_prime, rsa_of

SECONDS, NOISE = 1.0, 2.0
"""Maximum seconds of CPU for a case, and the factor allowed for a busy machine."""
REF = SecretRef(namespace="certificates-ops", name="web-tls")
SOURCE = Source(namespace=REF.namespace)
CA = ed25519.Ed25519PrivateKey.from_private_bytes(b"certificate authority for fuzz.."[:32])


class Outcome(NamedTuple):
    kind: str
    what: str
    """`fit`, a reason, or the number of rows that could be read."""
    seconds: float


def authority(name: str, key: AnyKey, subject: str, *, is_ca: bool) -> bytes:
    """Return a certificate of this public key, signed by CA with deterministic signatures."""
    built = (
        x509.CertificateBuilder()
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .public_key(key)
        .serial_number(0x5EED)
        .not_valid_before(NOW - timedelta(days=10))
        .not_valid_after(NOW + timedelta(days=80))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(subject)]), critical=False)
        .sign(CA, None)
    )
    return built.public_bytes(Encoding.PEM)


@cache
def secrets() -> tuple[dict[str, bytes], ...]:
    """Return valid Secrets, with keys of all kinds in all encodings."""
    chance = Random("keys")
    elliptic = ec.derive_private_key(chance.getrandbits(250), ec.SECP256R1())
    larger = ec.derive_private_key(chance.getrandbits(380), ec.SECP384R1())
    edwards = ed25519.Ed25519PrivateKey.from_private_bytes(chance.randbytes(32))
    numbers = rsa_of(*(next_prime(chance.getrandbits(1022) | 3 << 1022) for _ in range(2)))
    public = RSAPublicNumbers(numbers.e, numbers.n).public_key()
    written = (
        (public, numbers.pkcs1, PKCS1),
        (public, numbers.pkcs8, PKCS8),
        (elliptic.public_key(), der_of(elliptic, PrivateFormat.TraditionalOpenSSL), SEC1),
        (larger.public_key(), der_of(larger), PKCS8),
        (edwards.public_key(), der_of(edwards), PKCS8),
    )
    root = authority("Root", CA.public_key(), "Root", is_ca=True)
    middle = authority("Root", CA.public_key(), "CA", is_ca=True)
    return tuple(
        {
            "tls.crt": authority("CA", key, "web.example.org", is_ca=False) + middle,
            "tls.key": pem(der, label),
            "ca.crt": root,
        }
        for key, der, label in written
    )


CERTIFICATE: Manifest = {
    "metadata": {"name": "web", "namespace": "certificates-ops"},
    "spec": {
        "secretName": "web-tls",
        "secretTemplate": {"annotations": {"tls-sync.io/to": "dev/web, rct/web"}},
    },
    "status": {
        "renewalTime": "2026-04-01T00:00:00Z",
        "conditions": [{"type": "Ready", "status": "False", "reason": "Issuing"}],
    },
}
ROW: Manifest = {
    "cells": ["web-tls", "kubernetes.io/tls", 2, "5d"],
    "object": {
        "metadata": {
            "namespace": "app-a",
            "name": "web-tls",
            "uid": "u",
            "resourceVersion": "7",
            "labels": ownership.labels("ops"),
            "annotations": {annotations.SOURCE: "certificates-ops/web-tls", annotations.PRUNE: "false"},
            "ownerReferences": [{"controller": False}],
            "managedFields": [
                {
                    "manager": "tls-sync",
                    "operation": "Apply",
                    "time": "2026-03-01T00:00:00Z",
                    "fieldsV1": {"f:data": {"f:tls.crt": {}}, "f:metadata": {"f:labels": {"f:x": {}}}},
                }
            ],
        }
    },
}


def a_secret(chance: Random) -> str:
    data = dict(chance.choice(secrets()))
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        key = chance.choice(sorted(data))
        data[key] = spoil_pem(data[key], chance)
    manifest: Any = {"metadata": {"uid": "u"}, "data": _encoded(data)}
    if chance.random() < 0.05:
        manifest = _as_read(spoil_json(manifest, chance))
    found = check_secret(REF, manifest, Policy(now=NOW, allow_self_signed=chance.random() < 0.5))
    assert isinstance(found, Certificate | Rejection)
    assert found.model_dump_json()
    return "fit" if isinstance(found, Certificate) else told(found)


def told(found: Rejection) -> str:
    return (
        f"{found.reason} {found.detail}" if found.reason is Reason.EXAMINATION_FAILED else str(found.reason)
    )


def _as_read(spoilt: Any) -> Any:
    """Return the value as parsed from a response."""
    return parse_json(json.dumps(spoilt).encode())


def _encoded(data: dict[str, bytes]) -> dict[str, str]:
    return {key: base64.b64encode(value).decode() for key, value in data.items()}


def a_certificate(chance: Random) -> str:
    spoilt, sound = (
        _as_read(spoil_json(deepcopy(CERTIFICATE), chance)),
        {**CERTIFICATE, "spec": {"secretName": "other"}},
    )
    statuses = empty_statuses()
    for one in (spoilt, sound):
        add_certificate(statuses, one, SOURCE, with_requests=True)
    assert statuses.not_ready["other"] == "Issuing"
    assert sorted(statuses.not_ready.keys() | statuses.by_secret.keys())
    requests = statuses.requests.found()
    assert all(one.fault.isprintable() and is_printable(one.asked) for one in requests)
    return f"{len(statuses.warnings)} warned of"


def is_printable(texts: Iterable[str]) -> bool:
    return all(map(str.isprintable, texts))


def a_row(chance: Random) -> str:
    spoilt, sound = _as_read(spoil_json(deepcopy(ROW), chance)), deepcopy(ROW)
    sound["object"]["metadata"]["name"] = "other"
    columns = [{"name": name} for name in ("Name", "Type", "Data", "Age")]
    found = target_secrets.parse_target_secrets({"columnDefinitions": columns, "rows": [spoilt, sound]})
    assert all(isinstance(one, TargetSecret) for one in found)
    assert found[-1].ref.name == "other"
    assert found[-1].managed_by is None
    return f"{len(found)} found, {sum(one.managed_by is Reason.UNREADABLE for one in found)} unreadable"


KINDS: Sequence[Callable[[Random], str]] = (*[a_secret] * 8, a_certificate, a_row)


def run(seed: int, cases: int) -> Iterator[Outcome]:
    """Yield the outcome of each case. Raises AssertionError with its seed and number if it fails."""
    secrets()
    for number in range(cases):
        chance = Random(f"{seed}:{number}")
        kind = chance.choice(KINDS)
        begin = time.thread_time()
        try:
            what = kind(chance)
        except BaseException as error:
            raise AssertionError(
                f"seed {seed}, case {number}: {kind.__name__} raised {type(error).__name__}"
            ) from error
        seconds = time.thread_time() - begin
        assert seconds <= NOISE * SECONDS, (
            f"seed {seed}, case {number}: {kind.__name__} took {seconds:.1f} s of CPU"
        )
        yield Outcome(kind.__name__, what, seconds)
