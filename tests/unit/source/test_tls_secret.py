"""One Secret: the data that is copied, its fingerprint, and the protection of its key material."""

import base64
import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.domain.reasons import Reason
from tasks.source.check_failure import CheckFailed, as_check_failure
from tasks.source.tls_secret import TLSSecret
from tests.support.factories import law

CANARY = b"-----BEGIN PRIVATE KEY-----canary"
VALUES = {"tls.crt": b"certificate", "tls.key": CANARY, "ca.crt": b"authority"}


def tls_secret(values: dict[str, bytes] | None = None, **metadata: str) -> TLSSecret:
    data = {key: base64.b64encode(value).decode() for key, value in (values or VALUES).items()}
    return TLSSecret({"metadata": metadata, "data": data})


def test_tls_secret_knows_uid_and_version() -> None:
    """The uid and resourceVersion are those of the API."""
    found = tls_secret(uid="u-1", resourceVersion="7")
    assert (found.uid, found.resource_version) == ("u-1", "7")


@pytest.mark.parametrize("secret", [{}, {"metadata": None, "data": None}])
def test_tls_secret_without_anything_misses_its_data(secret: dict[str, Any]) -> None:
    """An empty Secret is refused with MissingData."""
    with pytest.raises(CheckFailed) as refused:
        TLSSecret(secret).require_data()
    assert (refused.value.reason, refused.value.detail) == (Reason.MISSING_DATA, "tls.crt, tls.key")


def test_data_is_what_is_copied() -> None:
    """Three keys are copied; an empty ca.crt is not."""
    others = {"keystore.jks": b"x", "../../x": b"x", "tls-combined.pem": b"x"}
    assert tls_secret(VALUES | others).data == VALUES
    assert set(tls_secret({**VALUES, "ca.crt": b""}).data) == {"tls.crt", "tls.key"}


@pytest.mark.parametrize("show", [repr, str, "{}".format, "{!r}".format, ascii])
def test_tls_secret_shows_no_key_material(show: Callable[[object], str]) -> None:
    """No text form of a TLSSecret contains its data."""
    found = tls_secret()
    assert found.data == VALUES
    assert show(found) in {"TLSSecret(…)", r"TLSSecret(\u2026)"}


@pytest.mark.parametrize("duplicate", [pickle.dumps, copy.copy, copy.deepcopy])
def test_tls_secret_refuses_to_be_pickled(duplicate: Callable[[object], object]) -> None:
    """A TLSSecret can't be stored as a result, nor copied."""
    with pytest.raises(TypeError, match="key material is never pickled") as error:
        duplicate(tls_secret())
    assert "canary" not in str(error.value)


def test_fingerprint_is_of_a_stated_form() -> None:
    """The fingerprint names its version and algorithm, and its value never changes."""
    digest = "0dfda7f1a0e74ec781c25e9d8cf0a6d41b55a9cccadcc6142ff2f1f94abf86ab"
    assert tls_secret().fingerprint == f"v1:sha256:{digest}"


@law
@given(key=st.sampled_from(sorted(VALUES)), value=st.binary(max_size=40))
def test_fingerprint_changes_exactly_when_a_copied_value_does(key: str, value: bytes) -> None:
    """Every byte of every copied key changes the fingerprint."""
    other = tls_secret({**VALUES, key: value})
    assert (other.fingerprint == tls_secret().fingerprint) is (value == VALUES[key])


@law
@given(st.dictionaries(st.text("a./ä\0", max_size=8), st.binary(max_size=8)))
def test_fingerprint_ignores_other_keys(others: dict[str, bytes]) -> None:
    """Keys that are not copied do not change the fingerprint, so it reveals nothing about them."""
    assert tls_secret(others | VALUES).fingerprint == tls_secret().fingerprint


def test_fingerprint_does_not_depend_on_the_order_of_keys() -> None:
    """The same data in another order have the same fingerprint."""
    assert tls_secret(dict(reversed(VALUES.items()))).fingerprint == tls_secret().fingerprint


@law
@given(one=st.binary(max_size=6), other=st.binary(max_size=6), moved=st.integers(0, 6))
def test_fingerprint_tells_where_a_value_ends(one: bytes, other: bytes, moved: int) -> None:
    """The same bytes with another boundary have another fingerprint."""
    joined = one + other
    first = {"tls.crt": one, "tls.key": other}
    second = {"tls.crt": joined[:moved], "tls.key": joined[moved:]}
    same = tls_secret(first).fingerprint == tls_secret(second).fingerprint
    assert same is (first == second)


@pytest.mark.parametrize("value", ["=", "a", "YQ", "YQ==\n", "Y Q==", "ä", "-_==", 5, ["YQ=="], {"x": "y"}])
def test_data_must_be_base64_as_a_server_writes_it(value: object) -> None:
    """Data that is not base64 as an API server writes it is refused; the detail is the key's name."""
    with pytest.raises(CheckFailed) as refused:
        _ = TLSSecret({"data": {"tls.crt": value}}).data
    assert (refused.value.reason, refused.value.detail) == (Reason.INVALID_ENCODING, "tls.crt")


def test_check_failure_hides_the_text_of_the_cause() -> None:
    """CheckFailed does not contain the text of cryptography's error."""
    with pytest.raises(CheckFailed) as refused, as_check_failure(Reason.INVALID_KEY, "detail"):
        raise ValueError("canary")
    assert (refused.value.reason, refused.value.detail) == (Reason.INVALID_KEY, "detail")
    assert refused.value.__suppress_context__
    assert "canary" not in str(refused.value)


def test_check_failure_lets_defects_through() -> None:
    """Other exceptions are not turned into a CheckFailed."""
    with pytest.raises(ZeroDivisionError), as_check_failure(Reason.INVALID_KEY):
        raise ZeroDivisionError
