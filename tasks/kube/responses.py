"""Interprets an API server's response by its machine-readable fields, never by its texts. Pure."""

import json
import re
import zlib
from datetime import datetime
from email.utils import format_datetime, parsedate_to_datetime
from functools import lru_cache
from typing import Any, NamedTuple

from tasks.domain.failure_codes import FailureCode
from tasks.domain.names import is_name


class ResponseError(NamedTuple):
    """Why a response is not the object that was requested."""

    code: FailureCode
    detail: str = ""
    transient: bool = False
    """A retry may succeed."""


# Other 4xx are INVALID and final; 5xx are SERVER_ERROR and transient.
STATUS = {
    401: (FailureCode.UNAUTHORIZED, False),
    403: (FailureCode.FORBIDDEN, False),
    404: (FailureCode.NOT_FOUND, False),
    408: (FailureCode.TIMEOUT, True),
    409: (FailureCode.CONFLICT, True),
    410: (FailureCode.LIST_EXPIRED, True),
    429: (FailureCode.THROTTLED, True),
}

OUTCOME_UNKNOWN = frozenset(
    {FailureCode.CONNECTION_LOST, FailureCode.TIMEOUT, FailureCode.SERVER_ERROR, FailureCode.PROTOCOL}
)
"""After a write that failed so, the object must be read to know whether the write took place."""

SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]|\xed[\xa0-\xbf]")
"""Half of a surrogate pair, as a JSON escape, and as bytes, which Python's parser accepts."""
TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)
"""A JSON string, or a bracket. A string that is not closed extends to the end."""
MAX_DEPTH = 100
"""Maximum depth of JSON in which one object is nested too deep. Kubernetes objects have about 10 levels."""

GZIP = 16 + zlib.MAX_WBITS


MALFORMED = (AttributeError, IndexError, KeyError, TypeError, ValueError)
"""The exceptions of reading a malformed object."""


def metadata_of(found: object) -> dict[str, Any]:
    """Return the metadata of an object in a list; empty if it has none."""
    metadata = found.get("metadata") if isinstance(found, dict) else None
    return metadata if isinstance(metadata, dict) else {}


def name_of(found: object) -> str:
    """Return the name of an object in a list; empty if it is not a valid name."""
    name = metadata_of(found).get("name")
    return name if isinstance(name, str) and is_name(name) else ""


def decompress(
    content: bytes | bytearray, encoding: str, max_bytes: int
) -> bytes | bytearray | ResponseError:
    """Return the decompressed body; TOO_MUCH if that is larger than `max_bytes`."""
    if not content or encoding.lower() in ("", "identity"):
        return content
    if encoding.lower() != "gzip":
        return ResponseError(FailureCode.PROTOCOL, "an encoding that was not requested")
    unzip = zlib.decompressobj(GZIP)
    try:
        text = unzip.decompress(content, max_bytes + 1)
    except zlib.error:
        return ResponseError(FailureCode.CONNECTION_LOST, transient=True)
    if len(text) > max_bytes:
        return ResponseError(FailureCode.TOO_MUCH)
    return text if unzip.eof else ResponseError(FailureCode.CONNECTION_LOST, transient=True)


def parse_json(content: bytes | bytearray) -> Any:
    """Parse JSON. What is nested too deep to be parsed becomes an empty object; the rest of a list remains.

    An API server accepts such managedFields from anyone who may write a Secret.
    """
    try:
        return _loads(content)
    except RecursionError:
        return _loads(_without_deep_values(content))


def _loads(content: bytes | bytearray) -> Any:
    """Parse JSON. Half of a surrogate pair, which can't be encoded as UTF-8, becomes a question mark."""
    found = json.loads(content)
    # Most responses have neither byte, and searching for bytes takes a tenth of the time of the pattern.
    if (b"\\u" in content or b"\xed" in content) and SURROGATE.search(content):
        return json.loads(json.dumps(found, ensure_ascii=False).encode(errors="replace"))
    return found


def _without_deep_values(content: bytes | bytearray) -> bytes:
    """Return the JSON with an empty object in place of each value that is nested deeper than MAX_DEPTH."""
    parts, begin, depth = list[bytes](), 0, 0
    for token in TOKEN.finditer(content):
        if token[0] in (b"{", b"["):
            depth += 1
            if depth > MAX_DEPTH and begin >= 0:
                parts += [bytes(content[begin : token.start()]), b"{}"]
                begin = -1
        elif token[0] in (b"}", b"]"):
            if depth == MAX_DEPTH + 1:
                begin = token.end()
            depth -= 1
    return b"".join(parts) + (bytes(content[begin:]) if begin >= 0 else b"")


def parse_response(status: int, content: bytes | bytearray) -> dict[str, Any] | ResponseError:
    """Return the Kubernetes object (a JSON object with metadata) of a 200 or 201."""
    try:
        found = parse_json(content)
    except (ValueError, RecursionError):
        found = None
    if status in (200, 201):
        if isinstance(found, dict) and isinstance(found.get("metadata"), dict):
            return found
        return ResponseError(FailureCode.PROTOCOL, "no Kubernetes object in the response")
    if status < 400:
        return ResponseError(FailureCode.PROTOCOL, f"HTTP {status}")
    return _parse_status(status, found if isinstance(found, dict) else {})


@lru_cache(maxsize=64)  # many responses have the same: a server answers hundreds of requests in a second
def parse_date(header: str | None) -> datetime | None:
    """Parse a Date header in the format that RFC 9110 prescribes; None for anything else."""
    try:
        found = parsedate_to_datetime(header or "")
        return found if format_datetime(found, usegmt=True) == header else None
    except (ValueError, OverflowError):  # not a date, or a year that datetime does not support
        return None


class Event(NamedTuple):
    """A watch event: a Secret has changed, or, without a name, a bookmark."""

    version: str
    name: str = ""
    deleted: bool = False


def parse_event(line: bytes) -> Event | ResponseError:
    """Parse one line of a watch. An ERROR event has the Status that a request would have got."""
    try:
        event = parse_json(line)
        kind, found = event["type"], event["object"]
        if kind == "ERROR":
            return _parse_status(found["code"], found)
        name, version = found["metadata"].get("name", ""), found["metadata"]["resourceVersion"]
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return ResponseError(FailureCode.PROTOCOL, "no event in the response")
    if kind not in ("ADDED", "MODIFIED", "DELETED", "BOOKMARK") or not isinstance(version, str):
        return ResponseError(FailureCode.PROTOCOL, "an unknown kind of event")
    return Event(version, "" if kind == "BOOKMARK" else str(name), deleted=kind == "DELETED")


def _parse_status(status: int, found: dict[str, Any]) -> ResponseError:
    """Return the failure of an HTTP status, refined by the details of the Kubernetes Status object."""
    code, transient = STATUS.get(
        status, (FailureCode.SERVER_ERROR, True) if status >= 500 else (FailureCode.INVALID, False)
    )
    details = found.get("details")
    details = details if isinstance(details, dict) else {}
    causes = details.get("causes")
    causes = causes if isinstance(causes, list) else []
    reasons = [cause.get("reason") for cause in causes if isinstance(cause, dict)]
    if status == 403 and "NamespaceTerminating" in reasons:
        code = FailureCode.NAMESPACE_TERMINATING
    if status == 404 and not details.get("kind"):
        code = FailureCode.API_MISSING
    if status == 404 and details.get("kind") == "namespaces":
        code = FailureCode.NAMESPACE_MISSING
    return ResponseError(code, f"HTTP {status}", transient)


def matches_object(found: dict[str, Any], kind: str, name: str = "", namespace: str = "") -> bool:
    """Return whether an object is the one that was requested. An empty name or namespace matches any."""
    metadata = found["metadata"]
    return (
        found.get("kind") == kind
        and name in ("", metadata.get("name"))
        and namespace in ("", metadata.get("namespace"))
    )
