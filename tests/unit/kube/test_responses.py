"""How an API server's response is interpreted, by its machine-readable fields only."""

import json
from datetime import UTC, datetime
from email.utils import format_datetime
from time import thread_time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.domain.failure_codes import FailureCode
from tasks.kube.responses import (
    MAX_DEPTH,
    ResponseError,
    matches_object,
    metadata_of,
    name_of,
    parse_date,
    parse_json,
    parse_response,
)
from tests.support.factories import law

SECRET = {"kind": "Secret", "metadata": {"name": "homarr-dev-tls", "namespace": "homarr-dev"}}


def encoded(value: object) -> bytes:
    return json.dumps(value).encode()


@pytest.mark.parametrize("status", [200, 201])
def test_a_success_is_an_object_with_metadata(status: int) -> None:
    """A 200 or 201 with an object is that object, whatever its kind."""
    assert parse_response(status, encoded(SECRET)) == SECRET


NO_OBJECTS = {
    "nothing": b"",
    "HTML": b"<html>Please log in</html>",
    "an empty object": b"{}",
    "a list": b"[]",
    "a text": b'"Secret"',
    "null": b"null",
    "metadata that is a text": b'{"metadata": "x"}',
    "JSON cut off": encoded(SECRET)[:-3],
    "another encoding": b'\xff\xfe{"metadata": {}}',
    "brackets without end": b"[" * 100_000,
    "a number without end": b'{"metadata": ' + b"9" * 5000 + b"}",
}


@pytest.mark.parametrize("content", NO_OBJECTS.values(), ids=NO_OBJECTS)
def test_a_success_without_an_object_is_an_error(content: bytes) -> None:
    """A 200 without an object that has metadata comes from a proxy or a portal."""
    assert parse_response(200, content) == ResponseError(
        FailureCode.PROTOCOL, "no Kubernetes object in the response"
    )


@pytest.mark.parametrize("status", [100, 202, 204, 301, 302, 307, 308, 399])
def test_any_other_status_below_400_is_an_error(status: int) -> None:
    """A redirect is not followed, and another 2xx is not the response that was requested."""
    assert parse_response(status, encoded(SECRET)) == ResponseError(FailureCode.PROTOCOL, f"HTTP {status}")


@pytest.mark.parametrize(
    ("status", "code", "transient"),
    [
        (400, FailureCode.INVALID, False),
        (401, FailureCode.UNAUTHORIZED, False),
        (403, FailureCode.FORBIDDEN, False),
        (404, FailureCode.API_MISSING, False),
        (405, FailureCode.INVALID, False),
        (408, FailureCode.TIMEOUT, True),
        (409, FailureCode.CONFLICT, True),
        (410, FailureCode.LIST_EXPIRED, True),
        (413, FailureCode.INVALID, False),
        (422, FailureCode.INVALID, False),
        (429, FailureCode.THROTTLED, True),
        (499, FailureCode.INVALID, False),
        (500, FailureCode.SERVER_ERROR, True),
        (503, FailureCode.SERVER_ERROR, True),
        (599, FailureCode.SERVER_ERROR, True),
    ],
)
def test_a_refusal_has_the_code_of_its_status(status: int, code: FailureCode, transient: bool) -> None:
    """Each status has one code, and is transient or not; the server's texts are dropped."""
    texts = encoded({"kind": "Status", "message": "canary", "reason": "canary"})
    for content in (texts, b"", b"[]", b"<html>", b"null"):
        assert parse_response(status, content) == ResponseError(code, f"HTTP {status}", transient)


@pytest.mark.parametrize(
    ("status", "details", "code"),
    [
        (403, {"causes": [{"reason": "NamespaceTerminating"}]}, FailureCode.NAMESPACE_TERMINATING),
        (
            403,
            {"causes": ["x", {"reason": "Other"}, {"reason": "NamespaceTerminating"}]},
            FailureCode.NAMESPACE_TERMINATING,
        ),
        (403, {"causes": [{"reason": "Other"}]}, FailureCode.FORBIDDEN),
        (403, {"causes": "NamespaceTerminating"}, FailureCode.FORBIDDEN),
        (403, {"kind": "namespaces"}, FailureCode.FORBIDDEN),
        (404, {"kind": "namespaces"}, FailureCode.NAMESPACE_MISSING),
        (404, {"kind": "secrets"}, FailureCode.NOT_FOUND),
        (401, {"causes": [{"reason": "NamespaceTerminating"}]}, FailureCode.UNAUTHORIZED),
        (413, {"causes": [{"reason": "NamespaceTerminating"}]}, FailureCode.INVALID),
        (422, {"kind": "namespaces"}, FailureCode.INVALID),
        (404, {"causes": [{"reason": "NamespaceTerminating"}]}, FailureCode.API_MISSING),
        (404, ["namespaces"], FailureCode.API_MISSING),
    ],
)
def test_the_details_of_a_refusal_refine_its_code(status: int, details: object, code: FailureCode) -> None:
    """Refusals with one status are told apart by `details`, never by the message."""
    assert parse_response(status, encoded({"details": details})) == ResponseError(code, f"HTTP {status}")


KEYS = st.sampled_from(["metadata", "details", "causes", "reason", "kind", "x"])
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["namespaces", "NamespaceTerminating"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=8,
)


@law
@given(status=st.integers(100, 599), value=JSON)
def test_any_response_is_an_object_or_an_error(status: int, value: Any) -> None:
    """Any status with any JSON results in an object or a ResponseError."""
    parsed = parse_response(status, encoded(value))
    assert isinstance(parsed, ResponseError) or parsed == value


@pytest.mark.parametrize("reason", [[], {}], ids=["a list", "a mapping"])
def test_a_malformed_cause_raises_nothing(reason: object) -> None:
    """The response of a hostile server raises no exception."""
    content = encoded({"details": {"causes": [{"reason": reason}]}})
    assert parse_response(403, content) == ResponseError(FailureCode.FORBIDDEN, "HTTP 403")


@law
@given(content=st.binary(max_size=40), status=st.integers(100, 599))
def test_a_response_that_is_no_json_is_an_error(content: bytes, status: int) -> None:
    """Arbitrary bytes are an error with any status."""
    assert isinstance(parse_response(status, b"\0" + content), ResponseError)


@pytest.mark.parametrize(
    ("kind", "name", "namespace", "expected"),
    [
        ("Secret", "homarr-dev-tls", "homarr-dev", True),
        ("Secret", "homarr-dev-tls", "", True),
        ("Secret", "", "", True),
        ("SecretList", "", "", False),
        ("Secret", "other", "homarr-dev", False),
        ("Secret", "homarr-dev-tls", "other", False),
    ],
)
def test_an_object_must_be_the_requested_one(kind: str, name: str, namespace: str, expected: bool) -> None:
    """Kind, name and namespace must all match; an empty name or namespace matches any."""
    assert matches_object(json.loads(encoded(SECRET)), kind, name, namespace) is expected


def test_an_object_without_a_name_does_not_match() -> None:
    """An object without its name or kind is not the one that was requested."""
    assert not matches_object({"kind": "Secret", "metadata": {}}, "Secret", "homarr-dev-tls")
    assert not matches_object({"metadata": {}}, "Secret")


@law
@given(moment=st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001  the strategy adds the zone
def test_the_date_header_is_the_servers_time(moment: datetime) -> None:
    """It is parsed as RFC 9110 prescribes, to the second."""
    moment = moment.replace(microsecond=0)
    assert parse_date(format_datetime(moment, usegmt=True)) == moment


DATES = {
    "no header": None,
    "an empty one": "",
    "a word": "yesterday",
    "no time": "Sun, 01 Mar 2026",
    "no zone": "Sun, 01 Mar 2026 12:00:00",
    "a zone of its own": "Sun, 01 Mar 2026 12:00:00 +0100",
    "another name of the zone": "Sun, 01 Mar 2026 12:00:00 UTC",
    "an unknown zone": "Sun, 01 Mar 2026 12:00:00 -0000",
    "another day of the week": "Mon, 01 Mar 2026 12:00:00 GMT",
    "no such day": "Sun, 31 Feb 2026 12:00:00 GMT",
    "no such year": f"Sun, 01 Mar {'9' * 30} 12:00:00 GMT",
    "two of them": "Sun, 01 Mar 2026 12:00:00 GMT, Sun, 01 Mar 2026 12:00:00 GMT",
}


@pytest.mark.parametrize("header", DATES.values(), ids=DATES)
def test_the_servers_time_is_unknown_with(header: str | None) -> None:
    """Another format of the header has no time, and raises nothing."""
    assert parse_date(header) is None


@law
@given(header=st.text() | st.text("0123456789:,+- GMTSunMar", max_size=40))
def test_the_date_header_may_be_anything(header: str) -> None:
    """A hostile header is a time in UTC or none, and never an exception."""
    found = parse_date(header)
    assert found is None or found.tzinfo is not None


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (rb'{"a\ud800": ["\uDFFF", "x"]}', {"a?": ["?", "x"]}),
        (b'"\xed\xa0\x80"', "?"),
        (rb'"\ud83d\ude00"', "\N{GRINNING FACE}"),
        (rb'"\\ud800 \u003c"', r"\ud800 <"),
        ('"\N{HANGUL SYLLABLE HAN}"'.encode(), "\N{HANGUL SYLLABLE HAN}"),
    ],
)
def test_half_of_a_surrogate_pair_becomes_a_question_mark(content: bytes, found: Any) -> None:
    """So it can be written as UTF-8; whole pairs remain."""
    assert parse_json(content) == found
    json.dumps(parse_json(content), ensure_ascii=False).encode()


@pytest.mark.parametrize("opening", ['{"a":', "[", '[{"f:a":'], ids=["objects", "lists", "both"])
def test_what_is_nested_too_deep_becomes_an_empty_object(opening: str) -> None:
    """Everything around it remains."""
    closing = "".join({"{": "}", "[": "]"}[one] for one in reversed(opening) if one in "{[")
    deep = opening * 5000 + "{}" + closing * 5000
    text = '{"metadata": {"name": "x{["}, "items": [1, ' + deep + ', {"b": [2]}]}'
    parsed = parse_response(200, text.encode())
    assert isinstance(parsed, dict)
    assert parsed["metadata"] == {"name": "x{["}
    assert (parsed["items"][0], parsed["items"][2]) == (1, {"b": [2]})


def nested(depth: int, inner: str = "1") -> str:
    return "[" * depth + inner + "]" * depth


def test_the_depth_that_remains() -> None:
    """Beside what is nested too deep, a value of MAX_DEPTH levels remains; one of a level more is cut."""
    deep = nested(50_000, "[2], [3], {}")  # Python 3.13 parses thousands of levels, 3.11 a thousand
    kept, cut = nested(MAX_DEPTH - 1), nested(MAX_DEPTH)
    found = parse_json(f"[{deep}, {kept}, {cut}, {deep}, 4]".encode())
    as_cut = nested(MAX_DEPTH - 1, "{}")
    assert found == json.loads(f"[{as_cut}, {kept}, {as_cut}, {as_cut}, 4]")


METADATA: dict[str, tuple[object, dict[str, Any], str]] = {
    "no object": (None, {}, ""),
    "a list": ([], {}, ""),
    "no metadata": ({}, {}, ""),
    "metadata that are a list": ({"metadata": ["name"]}, {}, ""),
    "no name": ({"metadata": {}}, {}, ""),
    "a number": ({"metadata": {"name": 7}}, {"name": 7}, ""),
    "a name that is none": ({"metadata": {"name": "a/../b"}}, {"name": "a/../b"}, ""),
    "a name": ({"metadata": {"name": "web-tls"}}, {"name": "web-tls"}, "web-tls"),
}


@pytest.mark.parametrize(("found", "metadata", "name"), METADATA.values(), ids=METADATA)
def test_an_object_in_a_list(found: object, metadata: dict[str, Any], name: str) -> None:
    """Whatever a list has in place of an object, it has metadata and a name, which may be empty."""
    assert (metadata_of(found), name_of(found)) == (metadata, name)


@pytest.mark.parametrize(
    "text", ["[" * 5000, '{"a":' * 5000 + "}", "[" * 5000 + "]" * 4000 + "}", "{" * 5000]
)
def test_truncated_nested_content_is_an_error(text: str) -> None:
    """It is an error like any other invalid response."""
    assert isinstance(parse_response(200, text.encode()), ResponseError)


def test_a_string_that_is_not_closed_is_scanned_once() -> None:
    """A quadratic scan took minutes with 100,000 quotes, which a hostile server can send."""
    hostile = b"[" * 20_000 + b'"' + b'\\"' * 100_000
    began = thread_time()
    assert isinstance(parse_response(200, hostile), ResponseError)
    assert thread_time() - began < 1
