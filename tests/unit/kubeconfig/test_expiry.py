"""When a credential ends, and when that is said."""

import base64
import json
import warnings
from datetime import UTC, datetime, timedelta

import pytest

from deployments.sandbox.clusters import pki
from tasks.kubeconfig.expiry import end_of_certificate, end_of_token, warn_of_end
from tests.support import chain_cases
from tests.support.factories import NOW


def token(claims: object) -> str:
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"header.{body}.signature"


def test_end_of_token_is_its_exp() -> None:
    """Seconds since 1970, in UTC."""
    assert end_of_token(token({"exp": 1_900_000_000})) == datetime(2030, 3, 17, 17, 46, 40, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    ["", "opaque", "a.b.c", "a.%%%.c", token([]), token({}), token({"exp": "soon"}), token({"exp": 1e300})],
)
def test_end_of_token_is_unknown_for_what_is_no_token(text: str) -> None:
    """A token of another kind, or claims that make no sense, are no error."""
    assert end_of_token(text) is None


def test_end_of_certificate_warns_of_nothing() -> None:
    """A negative serial number is no news here, not even where warnings are errors."""
    negative = chain_cases.negative_leaf()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert end_of_certificate(pki.pem(negative).decode()) is not None


def test_end_of_certificate_is_unknown_for_what_is_none() -> None:
    """Damaged PEM is no error here: it is refused where it is presented."""
    assert end_of_certificate("-----BEGIN CERTIFICATE-----") is None


@pytest.mark.parametrize(
    ("left", "hours"),
    [(timedelta(hours=72), 72), (timedelta(hours=1, minutes=59), 1), (timedelta(hours=-5), 0)],
)
def test_end_is_warned_of_within_72_hours(left: timedelta, hours: int) -> None:
    """The warning names the hours that are left, none once it is over, and the moment."""
    (warning,) = warn_of_end(NOW + left, NOW)
    assert f"ends in {hours} hours" in warning
    assert f"{NOW + left:%Y-%m-%d %H:%M} UTC" in warning


@pytest.mark.parametrize("ends", [None, NOW + timedelta(hours=72, seconds=1)])
def test_end_is_not_warned_of_before(ends: datetime | None) -> None:
    """Nothing is said where there is time, or no end is known."""
    assert warn_of_end(ends, NOW) == []
