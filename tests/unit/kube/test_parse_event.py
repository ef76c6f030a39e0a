"""How one line of a watch is read."""

import json
from typing import Any

import pytest

from tasks.domain.failure_codes import FailureCode
from tasks.kube.responses import Event, ResponseError, parse_event


def line(kind: object, found: object) -> bytes:
    return json.dumps({"type": kind, "object": found}).encode()


def secret(**metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": "homarr-dev-tls", "resourceVersion": "7", **metadata}}


@pytest.mark.parametrize("kind", ["ADDED", "MODIFIED"])
def test_a_change_has_a_version_and_a_name(kind: str) -> None:
    """What was added or modified is named."""
    assert parse_event(line(kind, secret())) == Event("7", "homarr-dev-tls", deleted=False)


def test_a_deletion() -> None:
    """What was deleted is named, too, and marked."""
    assert parse_event(line("DELETED", secret())) == Event("7", "homarr-dev-tls", deleted=True)


@pytest.mark.parametrize("metadata", [{"resourceVersion": "8"}, {"name": "x", "resourceVersion": "8"}])
def test_a_bookmark_has_no_name(metadata: dict[str, str]) -> None:
    """A bookmark says how far the watch has come, whatever name its object has."""
    assert parse_event(line("BOOKMARK", {"metadata": metadata})) == Event("8")
    assert Event("8") == ("8", "", False)


@pytest.mark.parametrize(
    ("status", "code", "transient"),
    [(410, FailureCode.LIST_EXPIRED, True), (403, FailureCode.FORBIDDEN, False)],
)
def test_an_error_is_what_a_request_would_have_got(status: int, code: FailureCode, transient: bool) -> None:
    """An ERROR event has a Status."""
    found = parse_event(line("ERROR", {"kind": "Status", "code": status}))
    assert found == ResponseError(code, f"HTTP {status}", transient)


NO_EVENTS = {
    "no JSON": b"<html>",
    "nothing": b"",
    "cut off": line("ADDED", secret())[:-3],
    "a list": b"[]",
    "a text": b'"ADDED"',
    "no type": b'{"object": {}}',
    "no object": b'{"type": "ADDED"}',
    "an object without metadata": line("ADDED", {}),
    "an object that is a list": line("ADDED", []),
    "metadata that are a list": line("ADDED", {"metadata": []}),
    "no version": line("ADDED", {"metadata": {"name": "x"}}),
    "an error without a code": line("ERROR", {}),
    "an error whose code is a text": line("ERROR", {"code": "410"}),
    "nested without end": b'{"type": ' + b"[" * 100_000,
}


@pytest.mark.parametrize("content", NO_EVENTS.values(), ids=NO_EVENTS)
def test_no_event(content: bytes) -> None:
    """What is no event is an error of the protocol, and raises nothing."""
    assert parse_event(content) == ResponseError(FailureCode.PROTOCOL, "no event in the response")


@pytest.mark.parametrize(
    "content",
    [
        line("CHANGED", secret()),
        line("AAA", secret()),
        line("ZZZ", secret()),
        line(None, secret()),
        line("ADDED", secret(resourceVersion=7)),
    ],
)
def test_an_unknown_kind_of_event(content: bytes) -> None:
    """A kind that the API does not have, or a version that is not a text, is an error of the protocol."""
    assert parse_event(content) == ResponseError(FailureCode.PROTOCOL, "an unknown kind of event")
