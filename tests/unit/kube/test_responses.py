"""What an API server's answer means, by its machine-readable fields alone."""

import json
from datetime import UTC, datetime
from email.utils import format_datetime
from time import thread_time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.domain.failure_codes import FailureCode
from tasks.kube.responses import ResponseError, matches_object, parse_answer, parse_date, parse_json
from tests.support.factories import law

SECRET = {"kind": "Secret", "metadata": {"name": "homarr-dev-tls", "namespace": "homarr-dev"}}


def encoded(answer: object) -> bytes:
    return json.dumps(answer).encode()


@pytest.mark.parametrize("status", [200, 201])
def test_answer_is_an_object_with_metadata(status: int) -> None:
    """A 200 or 201 with an object is that object, whatever its kind."""
    assert parse_answer(status, encoded(SECRET)) == SECRET


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
def test_answer_of_success_without_object_is_a_problem(content: bytes) -> None:
    """A proxy or a portal can say 200, too: without an object that bears metadata it is no success."""
    assert parse_answer(200, content) == ResponseError(
        FailureCode.PROTOCOL, "no Kubernetes object in the answer"
    )


@pytest.mark.parametrize("status", [100, 202, 204, 301, 302, 307, 308, 399])
def test_answer_that_is_neither_success_nor_refusal_is_a_problem(status: int) -> None:
    """A redirect is not followed, and any other 2xx is not what was asked for."""
    assert parse_answer(status, encoded(SECRET)) == ResponseError(FailureCode.PROTOCOL, f"HTTP {status}")


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
def test_answer_that_refuses_is_told_by_its_status(status: int, code: FailureCode, transient: bool) -> None:
    """Each status has one code, and may pass by itself or not; the server's words are dropped."""
    said = encoded({"kind": "Status", "message": "canary", "reason": "canary"})
    for content in (said, b"", b"[]", b"<html>", b"null"):
        assert parse_answer(status, content) == ResponseError(code, f"HTTP {status}", transient)


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
def test_answer_that_refuses_is_told_apart_by_its_details(
    status: int, details: object, code: FailureCode
) -> None:
    """What shares a status is told apart by `details`, never by the message."""
    assert parse_answer(status, encoded({"details": details})) == ResponseError(code, f"HTTP {status}")


KEYS = st.sampled_from(["metadata", "details", "causes", "reason", "kind", "x"])
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["namespaces", "NamespaceTerminating"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=8,
)


@law
@given(status=st.integers(100, 599), answer=JSON)
def test_answer_is_an_object_or_a_problem_whatever_it_is(status: int, answer: Any) -> None:
    """Any status with any JSON leads to an object or a Problem."""
    parsed = parse_answer(status, encoded(answer))
    assert isinstance(parsed, ResponseError) or parsed == answer


@pytest.mark.parametrize("reason", [[], {}], ids=["a list", "a mapping"])
def test_answer_survives_a_cause_whose_reason_is(reason: object) -> None:
    """A hostile server gets no exception out of the reader of its answer."""
    answer = encoded({"details": {"causes": [{"reason": reason}]}})
    assert parse_answer(403, answer) == ResponseError(FailureCode.FORBIDDEN, "HTTP 403")


@law
@given(content=st.binary(max_size=40), status=st.integers(100, 599))
def test_answer_is_a_problem_when_it_is_no_json(content: bytes, status: int) -> None:
    """Arbitrary bytes are a Problem under any status."""
    assert isinstance(parse_answer(status, b"\0" + content), ResponseError)


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
def test_answer_is_about_what_was_asked_for(kind: str, name: str, namespace: str, expected: bool) -> None:
    """Kind, name and namespace must all be those of the question; an empty one stands for any."""
    assert matches_object(json.loads(encoded(SECRET)), kind, name, namespace) is expected


def test_answer_without_name_is_about_nothing_in_particular() -> None:
    """An object that does not say its name is not the one that was asked for."""
    assert not matches_object({"kind": "Secret", "metadata": {}}, "Secret", "homarr-dev-tls")
    assert not matches_object({"metadata": {}}, "Secret")


@law
@given(moment=st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001  what is asked for
def test_date_of_an_answer_is_the_servers_time(moment: datetime) -> None:
    """The Date header is read as HTTP prescribes it, to the second."""
    moment = moment.replace(microsecond=0)
    assert parse_date(format_datetime(moment, usegmt=True)) == moment


DATES = {
    "no header": None,
    "an empty one": "",
    "a word": "yesterday",
    "no time": "Sun, 01 Mar 2026",
    "no zone": "Sun, 01 Mar 2026 12:00:00",
    "a zone of its own": "Sun, 01 Mar 2026 12:00:00 +0100",
    "an unknown zone": "Sun, 01 Mar 2026 12:00:00 -0000",
    "another day of the week": "Mon, 01 Mar 2026 12:00:00 GMT",
    "no such day": "Sun, 31 Feb 2026 12:00:00 GMT",
    "no such year": f"Sun, 01 Mar {'9' * 30} 12:00:00 GMT",
    "two of them": "Sun, 01 Mar 2026 12:00:00 GMT, Sun, 01 Mar 2026 12:00:00 GMT",
}


@pytest.mark.parametrize("header", DATES.values(), ids=DATES)
def test_date_of_an_answer_is_unknown_where_it_has(header: str | None) -> None:
    """What no server writes there tells no time, and ends no run."""
    assert parse_date(header) is None


@law
@given(header=st.text() | st.text("0123456789:,+- GMTSunMar", max_size=40))
def test_date_of_an_answer_may_be_anything(header: str) -> None:
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
def test_half_of_a_surrogate_pair_can_be_told_of(content: bytes, found: Any) -> None:
    """It is read as a question mark: reports, which are UTF-8, can say it; what is whole stays as it is."""
    assert parse_json(content) == found
    json.dumps(parse_json(content), ensure_ascii=False).encode()


@pytest.mark.parametrize("opening", ['{"a":', "[", '[{"f:a":'], ids=["objects", "lists", "both"])
def test_what_is_nested_without_measure_costs_itself(opening: str) -> None:
    """In place of what lies too deep stands an empty object; all around it is as the server said it."""
    closing = "".join({"{": "}", "[": "]"}[one] for one in reversed(opening) if one in "{[")
    deep = opening * 5000 + "{}" + closing * 5000
    text = '{"metadata": {"name": "x{["}, "items": [1, ' + deep + ', {"b": [2]}]}'
    answer = parse_answer(200, text.encode())
    assert isinstance(answer, dict)
    assert answer["metadata"] == {"name": "x{["}
    assert (answer["items"][0], answer["items"][2]) == (1, {"b": [2]})


@pytest.mark.parametrize(
    "text", ["[" * 5000, '{"a":' * 5000 + "}", "[" * 5000 + "]" * 4000 + "}", "{" * 5000]
)
def test_what_is_nested_and_does_not_end_is_no_answer(text: str) -> None:
    """Nested content that is cut off is a Problem, like any other invalid answer."""
    assert isinstance(parse_answer(200, text.encode()), ResponseError)


def test_a_text_in_it_that_does_not_end_is_gone_through_once() -> None:
    """Or a hostile server would hold the whole run for hours: with 100,000 quotes it was minutes."""
    hostile = b"[" * 20_000 + b'"' + b'\\"' * 100_000
    began = thread_time()
    assert isinstance(parse_answer(200, hostile), ResponseError)
    assert thread_time() - began < 1
