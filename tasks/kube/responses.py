"""What an API server's answer means. Pure; reads its machine-readable fields and never its texts."""

import json
import re
import zlib
from datetime import datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any, NamedTuple

from tasks.domain.failure_codes import FailureCode
from tasks.domain.names import is_name


class ResponseError(NamedTuple):
    """Why an answer is not what was asked for."""

    code: FailureCode
    detail: str = ""
    transient: bool = False
    """Trying again may help."""


# Other 4xx are Invalid and final; 5xx are ServerError and may pass.
STATUS = {
    401: (FailureCode.UNAUTHORIZED, False),
    403: (FailureCode.FORBIDDEN, False),
    404: (FailureCode.NOT_FOUND, False),
    408: (FailureCode.TIMEOUT, True),
    409: (FailureCode.CONFLICT, True),
    410: (FailureCode.LIST_EXPIRED, True),
    429: (FailureCode.THROTTLED, True),
}

# Of a write that ended so, only another look at the object tells what became of it.
OUTCOME_UNKNOWN = frozenset(
    {FailureCode.CONNECTION_LOST, FailureCode.TIMEOUT, FailureCode.SERVER_ERROR, FailureCode.PROTOCOL}
)


SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]|\xed[\xa0-\xbf]")
"""As JSON escapes it, and as bytes, which Python reads, too."""
TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)
"""Of JSON, as far as it opens and closes something; a text that does not end goes on until the end."""
DEEPEST = 100
"""Objects of Kubernetes have a tenth of it."""

GZIP = 16 + zlib.MAX_WBITS


MALFORMED = (AttributeError, IndexError, KeyError, TypeError, ValueError)
"""What taking an object apart raises where it is not of the shape that it should have."""


def metadata_of(found: object) -> dict[str, Any]:
    """Of an object in a list; empty where it has none."""
    metadata = found.get("metadata") if isinstance(found, dict) else None
    return metadata if isinstance(metadata, dict) else {}


def name_of(found: object) -> str:
    """Of an object in a list; empty where that is no name."""
    name = metadata_of(found).get("name")
    return name if isinstance(name, str) and is_name(name) else ""


def unpack(content: bytes | bytearray, encoding: str, max_bytes: int) -> bytes | bytearray | ResponseError:
    """An answer's body out of its Content-Encoding; TOO_MUCH where it is of more than `cap` bytes."""
    if not content or encoding.lower() in ("", "identity"):
        return content
    if encoding.lower() != "gzip":
        return ResponseError(FailureCode.PROTOCOL, "an encoding that nobody asked for")
    unzip = zlib.decompressobj(GZIP)
    try:
        whole = unzip.decompress(content, max_bytes + 1)
    except zlib.error:
        return ResponseError(FailureCode.CONNECTION_LOST, transient=True)
    if len(whole) > max_bytes:
        return ResponseError(FailureCode.TOO_MUCH)
    return whole if unzip.eof else ResponseError(FailureCode.CONNECTION_LOST, transient=True)


def parse_json(content: bytes | bytearray) -> Any:
    """Of a list, too, in which one object is nested deeper than can be parsed: that costs it alone.

    A server takes such managedFields from whoever may write a Secret.
    """
    try:
        return _loads(content)
    except RecursionError:
        return _loads(_without_depths(content))


def _loads(content: bytes | bytearray) -> Any:
    """As JSON; half of a surrogate pair, which nobody could encode again, becomes a question mark."""
    found = json.loads(content)
    # Most answers have neither byte, and to look for them takes a tenth of the time that the pattern takes.
    if (b"\\u" in content or b"\xed" in content) and SURROGATE.search(content):
        return json.loads(json.dumps(found, ensure_ascii=False).encode(errors="replace"))
    return found


def _without_depths(content: bytes | bytearray) -> bytes:
    """The same with an empty object in place of all that is nested deeper than DEEPEST."""
    kept, begin, depth = list[bytes](), 0, 0
    for token in TOKEN.finditer(content):
        if token[0] in (b"{", b"["):
            depth += 1
            if depth > DEEPEST and begin >= 0:
                kept += [bytes(content[begin : token.start()]), b"{}"]
                begin = -1
        elif token[0] in (b"}", b"]"):
            if depth == DEEPEST + 1:
                begin = token.end()
            depth -= 1
    return b"".join(kept) + (bytes(content[begin:]) if begin >= 0 else b"")


def parse_answer(status: int, content: bytes | bytearray) -> dict[str, Any] | ResponseError:
    """The JSON object of a 200 or 201 that bears metadata, as every Kubernetes object does; or a Problem."""
    try:
        answer = parse_json(content)
    except (ValueError, RecursionError):
        answer = None
    if status in (200, 201):
        if isinstance(answer, dict) and isinstance(answer.get("metadata"), dict):
            return answer
        return ResponseError(FailureCode.PROTOCOL, "no Kubernetes object in the answer")
    if status < 400:
        return ResponseError(FailureCode.PROTOCOL, f"HTTP {status}")
    return _refusal(status, answer if isinstance(answer, dict) else {})


def parse_date(header: str | None) -> datetime | None:
    """When a server answered, by its own clock; None for anything but what HTTP has a server write there."""
    try:
        found = parsedate_to_datetime(header or "")
        return found if format_datetime(found, usegmt=True) == header else None
    except (ValueError, OverflowError):  # a header that is no date, or one of no year that we know
        return None


class Event(NamedTuple):
    """What a watch says: that a Secret is another one now, or, without a name, how far it has come."""

    version: str
    name: str = ""
    gone: bool = False


def parse_event(line: bytes) -> Event | ResponseError:
    """One line of a watch by metadata. An ERROR event is what the server would have answered to a request."""
    try:
        event = parse_json(line)
        kind, found = event["type"], event["object"]
        if kind == "ERROR":
            return _refusal(found["code"], found)
        name, version = found["metadata"].get("name", ""), found["metadata"]["resourceVersion"]
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return ResponseError(FailureCode.PROTOCOL, "no event in the answer")
    if kind not in ("ADDED", "MODIFIED", "DELETED", "BOOKMARK") or not isinstance(version, str):
        return ResponseError(FailureCode.PROTOCOL, "an unknown kind of event")
    return Event(version, "" if kind == "BOOKMARK" else str(name), gone=kind == "DELETED")


def _refusal(status: int, answer: dict[str, Any]) -> ResponseError:
    """Tell apart what shares a status."""
    code, transient = STATUS.get(
        status, (FailureCode.SERVER_ERROR, True) if status >= 500 else (FailureCode.INVALID, False)
    )
    details = answer.get("details")
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


def matches_object(answer: dict[str, Any], kind: str, name: str = "", namespace: str = "") -> bool:
    """Whether an answer is about the object that was asked for; an empty name stands for any."""
    metadata = answer["metadata"]
    return (
        answer.get("kind") == kind
        and name in ("", metadata.get("name"))
        and namespace in ("", metadata.get("namespace"))
    )
