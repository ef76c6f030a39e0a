"""When a credential ends. Pure."""

import base64
import json
from datetime import UTC, datetime, timedelta

from cryptography import x509

from tasks.runtime.silence import without_warnings

WARN_BEFORE = timedelta(hours=72)


def end_of_token(token: str) -> datetime | None:
    """The `exp` of a JSON Web Token, which is not verified here; None for a token of another kind."""
    parts = token.split(".")
    try:
        padded = parts[1] + "=" * (-len(parts[1]) % 4)
        return datetime.fromtimestamp(json.loads(base64.urlsafe_b64decode(padded))["exp"], UTC)
    except (IndexError, KeyError, OSError, OverflowError, RecursionError, TypeError, ValueError):
        return None


def end_of_certificate(chain: str) -> datetime | None:
    """The notAfter of a client's certificate, the first one of its chain."""
    try:
        with without_warnings:
            return x509.load_pem_x509_certificate(chain.encode()).not_valid_after_utc
    except ValueError:
        return None


def warn_of_end(ends: datetime | None, now: datetime) -> list[str]:
    if ends is None or ends - now > WARN_BEFORE:
        return []
    hours = max(0, int((ends - now) / timedelta(hours=1)))
    return [f"the credential in the kubeconfig ends in {hours} hours ({ends:%Y-%m-%d %H:%M} UTC); renew it"]
