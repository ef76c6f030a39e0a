"""A Secret being taken apart: what travels, its fingerprint, and that nothing of it gets out."""

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


def candidate(values: dict[str, bytes] | None = None, **metadata: str) -> TLSSecret:
    data = {key: base64.b64encode(value).decode() for key, value in (values or VALUES).items()}
    return TLSSecret({"metadata": metadata, "data": data})


def test_candidate_knows_uid_and_version() -> None:
    """The identity of the Secret is kept as the API gave it."""
    found = candidate(uid="u-1", resourceVersion="7")
    assert (found.uid, found.resource_version) == ("u-1", "7")


@pytest.mark.parametrize("secret", [{}, {"metadata": None, "data": None}])
def test_candidate_without_anything_misses_its_data(secret: dict[str, Any]) -> None:
    """An empty Secret is refused for what it lacks, not with an accident."""
    with pytest.raises(CheckFailed) as refused:
        TLSSecret(secret).require_data()
    assert (refused.value.reason, refused.value.detail) == (Reason.MISSING_DATA, "tls.crt, tls.key")


def test_material_is_what_travels() -> None:
    """Of all keys three travel; an empty ca.crt stays at home."""
    others = {"keystore.jks": b"x", "../../x": b"x", "tls-combined.pem": b"x"}
    assert candidate(VALUES | others).data == VALUES
    assert set(candidate({**VALUES, "ca.crt": b""}).data) == {"tls.crt", "tls.key"}


@pytest.mark.parametrize("show", [repr, str, "{}".format, "{!r}".format, ascii])
def test_candidate_shows_no_key_material(show: Callable[[object], str]) -> None:
    """However it is turned into text, a candidate says nothing."""
    found = candidate()
    assert found.data == VALUES
    assert show(found) in {"TLSSecret(…)", r"TLSSecret(\u2026)"}


@pytest.mark.parametrize("duplicate", [pickle.dumps, copy.copy, copy.deepcopy])
def test_candidate_refuses_to_be_pickled(duplicate: Callable[[object], object]) -> None:
    """A candidate can't be written to a result storage, nor copied."""
    with pytest.raises(TypeError, match="key material is never pickled") as error:
        duplicate(candidate())
    assert "canary" not in str(error.value)


def test_fingerprint_is_of_a_stated_form() -> None:
    """The digest's text says its own version and algorithm, and its value is pinned for ever."""
    digest = "0dfda7f1a0e74ec781c25e9d8cf0a6d41b55a9cccadcc6142ff2f1f94abf86ab"
    assert candidate().fingerprint == f"v1:sha256:{digest}"


@law
@given(key=st.sampled_from(sorted(VALUES)), value=st.binary(max_size=40))
def test_fingerprint_changes_exactly_when_a_travelling_value_does(key: str, value: bytes) -> None:
    """Every byte of every key that travels counts, and no value can stand in for another."""
    other = candidate({**VALUES, key: value})
    assert (other.fingerprint == candidate().fingerprint) is (value == VALUES[key])


@law
@given(st.dictionaries(st.text("a./ä\0", max_size=8), st.binary(max_size=8)))
def test_fingerprint_ignores_other_keys(others: dict[str, bytes]) -> None:
    """What does not travel has no part in the fingerprint, so it can't be guessed from it."""
    assert candidate(others | VALUES).fingerprint == candidate().fingerprint


def test_fingerprint_does_not_depend_on_the_order_of_keys() -> None:
    """The same data in another order have the same fingerprint."""
    assert candidate(dict(reversed(VALUES.items()))).fingerprint == candidate().fingerprint


@law
@given(one=st.binary(max_size=6), other=st.binary(max_size=6), moved=st.integers(0, 6))
def test_fingerprint_tells_where_a_value_ends(one: bytes, other: bytes, moved: int) -> None:
    """The same bytes, cut elsewhere, are other data."""
    joined = one + other
    first = {"tls.crt": one, "tls.key": other}
    second = {"tls.crt": joined[:moved], "tls.key": joined[moved:]}
    same = candidate(first).fingerprint == candidate(second).fingerprint
    assert same is (first == second)


@pytest.mark.parametrize("value", ["=", "a", "YQ", "YQ==\n", "Y Q==", "ä", "-_==", 5, ["YQ=="], {"x": "y"}])
def test_data_must_be_base64_as_a_server_writes_it(value: object) -> None:
    """Anything that an API server would not write as base64 is refused, with the key's name alone."""
    with pytest.raises(CheckFailed) as refused:
        _ = TLSSecret({"data": {"tls.crt": value}}).data
    assert (refused.value.reason, refused.value.detail) == (Reason.INVALID_ENCODING, "tls.crt")


def test_refusing_hides_the_text_of_the_cause() -> None:
    """What cryptography says about a damaged object ends there."""
    with pytest.raises(CheckFailed) as refused, as_check_failure(Reason.INVALID_KEY, "detail"):
        raise ValueError("canary")
    assert (refused.value.reason, refused.value.detail) == (Reason.INVALID_KEY, "detail")
    assert refused.value.__suppress_context__
    assert "canary" not in str(refused.value)


def test_refusing_lets_defects_through() -> None:
    """A defect of ours is no property of the Secret."""
    with pytest.raises(ZeroDivisionError), as_check_failure(Reason.INVALID_KEY):
        raise ZeroDivisionError
