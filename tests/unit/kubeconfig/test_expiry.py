"""When a credential expires, and when that is warned of."""

import base64
import json
import warnings
from datetime import UTC, datetime, timedelta

import pytest

from deployments.sandbox.clusters import pki
from tasks.kubeconfig.expiry import certificate_expiry, expiry_warnings, token_expiry
from tests.support import chain_cases
from tests.support.factories import NOW


def token(claims: object) -> str:
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"header.{body}.signature"


def test_a_token_expires_at_its_exp() -> None:
    """`exp` is in seconds since 1970, in UTC."""
    assert token_expiry(token({"exp": 1_900_000_000})) == datetime(2030, 3, 17, 17, 46, 40, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    ["", "opaque", "a.b.c", "a.%%%.c", token([]), token({}), token({"exp": "soon"}), token({"exp": 1e300})],
)
def test_the_expiry_of_another_token_is_unknown(text: str) -> None:
    """A token of another kind, or with claims that make no sense, is no error."""
    assert token_expiry(text) is None


def test_reading_the_expiry_of_a_certificate_causes_no_warning() -> None:
    """A negative serial number is accepted, even if warnings are errors."""
    negative = chain_cases.negative_leaf()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert certificate_expiry(pki.pem(negative).decode()) is not None


def test_the_expiry_of_a_damaged_certificate_is_unknown() -> None:
    """Damaged PEM is no error here: it is refused when it is loaded."""
    assert certificate_expiry("-----BEGIN CERTIFICATE-----") is None


@pytest.mark.parametrize(
    ("left", "hours"),
    [(timedelta(hours=72), 72), (timedelta(hours=1, minutes=59), 1), (timedelta(hours=-5), 0)],
)
def test_an_expiry_within_72_hours_is_warned_of(left: timedelta, hours: int) -> None:
    """The warning names the hours that are left (0 after the expiry) and the time of the expiry."""
    (warning,) = expiry_warnings(NOW + left, NOW)
    assert f"expires in {hours} hours" in warning
    assert f"{NOW + left:%Y-%m-%d %H:%M} UTC" in warning


@pytest.mark.parametrize("expires_at", [None, NOW + timedelta(hours=72, seconds=1)])
def test_a_later_expiry_is_not_warned_of(expires_at: datetime | None) -> None:
    """Nor is one that is unknown."""
    assert expiry_warnings(expires_at, NOW) == []
