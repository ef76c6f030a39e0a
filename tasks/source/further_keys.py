"""Checks the keys of a Secret that travel only where a route names them, against its tls.crt and tls.key.

Key material is in memory for one function call. The certificate and the key have passed their checks: a
format that holds just these bytes, as cert-manager writes it, is as good as they are.
"""

import hashlib

from tasks.domain.further_keys import COMPARED_KEYS, FURTHER_KEYS
from tasks.domain.models import FurtherKey
from tasks.domain.reasons import Reason
from tasks.source.check_failure import CheckFailed, unexpected_as_check_failure
from tasks.source.private_key import der_of
from tasks.source.tls_secret import CERTIFICATE, KEY, TLSSecret

BETWEEN = frozenset({b"", b"\n", b"\r\n"})
"""What may stand between key and certificate in tls-combined.pem; cert-manager writes a line feed."""
DIGEST_DIGITS = 32


def examine(secret: TLSSecret) -> tuple[FurtherKey, ...]:
    """Return the facts of the further keys that a Secret has, sorted; those without content are left out."""
    found = (_examine(secret, name) for name in sorted(FURTHER_KEYS & secret.names_of_keys))
    return tuple(one for one in found if one)


def _examine(secret: TLSSecret, name: str) -> FurtherKey | None:
    try:
        with unexpected_as_check_failure():
            value = secret.value_of(name)
            if not value:
                return None
            _require_match(secret, name, value)
    except CheckFailed as failure:
        return FurtherKey(name=name, fault=failure.reason)
    digest = hashlib.sha256(b"%b %b %d:" % (secret.fingerprint.encode(), name.encode(), len(value)))
    digest.update(value)
    return FurtherKey(name=name, size=len(value), digest=digest.hexdigest()[:DIGEST_DIGITS])


def _require_match(secret: TLSSecret, name: str, value: bytes) -> None:
    """Raise CheckFailed unless a combined format holds what tls.crt and tls.key hold."""
    certificate, key = secret.data[CERTIFICATE], secret.data[KEY]
    if name == "key.der":
        matches = value == der_of(key)
    elif name == "tls-combined.pem":
        fits = value.startswith(key) and value.endswith(certificate)
        matches = fits and value[len(key) : len(value) - len(certificate)] in BETWEEN
    else:
        matches = name not in COMPARED_KEYS
    if not matches:
        raise CheckFailed(Reason.FORMAT_MISMATCH, name)
