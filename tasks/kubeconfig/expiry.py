"""Reads when a credential expires. Pure."""

import base64
import json
from datetime import UTC, datetime, timedelta

from cryptography import x509

from tasks.runtime.silence import without_warnings

WARN_BEFORE = timedelta(hours=72)
"""How long before its expiry a credential is warned of."""


def token_expiry(token: str) -> datetime | None:
    """Return the `exp` of a JSON Web Token, which is not verified here; None for another kind of token."""
    parts = token.split(".")
    try:
        padded = parts[1] + "=" * (-len(parts[1]) % 4)
        return datetime.fromtimestamp(json.loads(base64.urlsafe_b64decode(padded))["exp"], UTC)
    except (IndexError, KeyError, OSError, OverflowError, RecursionError, TypeError, ValueError):
        return None


def certificate_expiry(chain: str) -> datetime | None:
    """Return the notAfter of a client certificate, the first one of its chain; None if it can't be parsed."""
    try:
        with without_warnings:
            return x509.load_pem_x509_certificate(chain.encode()).not_valid_after_utc
    except ValueError:
        return None


def expiry_warnings(expires_at: datetime | None, now: datetime) -> list[str]:
    """Return a warning if the credential expires within WARN_BEFORE."""
    if expires_at is None or expires_at - now > WARN_BEFORE:
        return []
    hours, moment = max(0, int((expires_at - now) / timedelta(hours=1))), f"{expires_at:%Y-%m-%d %H:%M} UTC"
    return [f"the credential in the kubeconfig expires in {hours} hours ({moment}); renew it"]
