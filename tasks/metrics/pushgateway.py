"""Takes a run's metrics to a Pushgateway, where one is configured. A run neither fails nor waits for it.

Environment: TLS_SYNC_PUSHGATEWAY, an http(s) address; TLS_SYNC_PUSHGATEWAY_AUTH, `user:password`;
TLS_SYNC_PUSHGATEWAY_CA, the CA of https as PEM, where it is not one that the system knows.

What a run did not look at is read from there and pushed again with the rest: few requests, however many
clusters there are. All of it has LIMIT seconds. A thread does it; where it isn't done by then, it is left
alone, and ends with its connection, or with the process.
"""

import base64
import os
import re
import ssl
import time
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from urllib.parse import urlsplit

from urllib3 import PoolManager, Timeout
from urllib3.exceptions import HTTPError, NewConnectionError, SSLError
from urllib3.exceptions import TimeoutError as TimedOut

from tasks.domain.names import is_host
from tasks.kube.deadline import ConnectionDeadline
from tasks.metrics.definitions import BY_NAME
from tasks.metrics.samples import (
    Sample,
    Samples,
)
from tasks.runtime.tls import verifying

ADDRESS, AUTH, CA = "TLS_SYNC_PUSHGATEWAY", "TLS_SYNC_PUSHGATEWAY_AUTH", "TLS_SYNC_PUSHGATEWAY_CA"
LIMIT = 1.8
"""Seconds, of the two that the metrics may cost a run."""
LONGEST_LINE = 4096
LINE = re.compile(rb'(tls_sync_\w+)\{((?:\w+="[^"\\]*",?)+)\} ([0-9.e+-]+)')
PAIR = re.compile(rb'(\w+)="([^"\\]*)"')
"""Ours need no quoting; the parser of prometheus_client would take ten times as long."""
RUN, REST = "tls-sync-run", "tls-sync"
"""The two groups of an owner: what the last run tells of itself, and what is known of OPS and its targets."""
REST_OF_GROUP = f"{REST}-group-"
"""Before the name of a group of clusters: its runs keep the rest there, since others run at the same time."""


class PushFailed(Exception):
    """A push did not arrive; the message says why, in our words."""


class Gateway:
    """The groups of one owner on a Pushgateway, until a deadline, a moment of time.monotonic()."""

    def __init__(self, owner: str, deadline: float) -> None:
        self._owner, self._deadline, self._headers = owner, deadline, _authorization()
        self._url, context = _address(), None
        if self._url.startswith("https:"):
            try:
                context = verifying(os.environ.get(CA) or None)
            except (ssl.SSLError, ValueError, TypeError):  # the last one for letters beyond ASCII
                raise PushFailed(f"{CA} is not a certificate in PEM") from None
        self._pool = PoolManager(ssl_context=context) if context else PoolManager()
        ConnectionDeadline(self._pool, deadline)

    def put(self, job: str, samples: Iterable[Sample]) -> None:
        """Nothing else is in the group from now on."""
        self._write("PUT", job, samples)

    def post(self, job: str, samples: Iterable[Sample]) -> None:
        """These take the place of those of the same name."""
        self._write("POST", job, samples)

    def delete(self, job: str, owner: str) -> None:
        for _ in self._lines("DELETE", _path(job, owner)):
            pass

    def held(self) -> dict[str, Samples]:
        """The rest, as each group has it; read as a stream, for others may have put much there."""
        found: dict[str, list[Sample]] = {}
        for line in self._lines("GET", ""):
            told = LINE.fullmatch(line)
            family = BY_NAME.get(told[1].decode()) if told else None
            if not (told and family):
                continue
            labels = {name.decode(): value.decode() for name, value in PAIR.findall(told[2])}
            job = labels.get("job", "")
            ours = labels.get("owner") == self._owner and (job == REST or job.startswith(REST_OF_GROUP))
            if ours and {*family.labels} == labels.keys() - {"job", "instance"}:
                sample = Sample(family, tuple(labels[name] for name in family.labels), float(told[3]))
                found.setdefault(job, []).append(sample)
        return {job: tuple(samples) for job, samples in found.items()}

    def _write(self, method: str, job: str, samples: Iterable[Sample]) -> None:
        from tasks.metrics.registry import text  # noqa: PLC0415  not for those without a Pushgateway

        for _ in self._lines(method, _path(job, self._owner), text(samples)):
            pass

    def _lines(self, method: str, path: str, body: bytes | None = None) -> Iterator[bytes]:
        """The answer's lines. Raises Lost where it is none of success."""
        try:
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise PushFailed(out_of_time())
            response = self._pool.request(
                method,
                f"{self._url}/metrics{path}",
                body=body,
                headers=self._headers,
                timeout=Timeout(connect=left, read=left),
                retries=False,
                redirect=False,
                preload_content=False,
            )
            if response.status not in (HTTPStatus.OK, HTTPStatus.ACCEPTED):
                response.close()
                raise PushFailed(_refusal(response.status))
            rest = b""
            while piece := response.read1(65536):
                *lines, rest = (rest[-LONGEST_LINE:] + piece).split(b"\n")
                yield from lines
                if time.monotonic() > self._deadline:
                    response.close()
                    break
            if time.monotonic() > self._deadline:  # cut by the watchdog, so this is not all
                raise PushFailed(out_of_time())
        except (HTTPError, OSError, ValueError) as error:
            raise PushFailed(
                out_of_time() if time.monotonic() > self._deadline else _unanswered(error)
            ) from None


def _address() -> str:
    given = os.environ.get(ADDRESS, "")
    try:
        url = urlsplit(given)
        fits = url.scheme in ("http", "https") and is_host(url.hostname or "") and url.port != 0
    except ValueError:
        fits = False
    if not fits or "@" in url.netloc or url.query or url.fragment:
        raise PushFailed(f"{ADDRESS} is no http:// or https:// address without user, query and fragment")
    return url.geturl().rstrip("/")


def _authorization() -> dict[str, str]:
    pair = os.environ.get(AUTH, "").strip()
    if pair and ":" not in pair:
        raise PushFailed(f"{AUTH} is not user:password")
    encoded = base64.b64encode(pair.encode(errors="surrogateescape")).decode()  # the bytes as they came
    kind = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
    return {**kind, "Authorization": f"Basic {encoded}"} if pair else kind


def _path(job: str, owner: str) -> str:
    return f"/job/{job}/owner/{owner}"


def _refusal(status: int) -> str:
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return f"HTTP {status}; check {AUTH}"
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return f"HTTP {status}: a redirect, which is not followed; check {ADDRESS}"
    return f"HTTP {status}"


def out_of_time() -> str:
    return f"no answer in {LIMIT} s"


def _unanswered(error: Exception) -> str:
    """The library's text may hold an address or more: it stays here."""
    if isinstance(error, TimedOut) and not isinstance(error, NewConnectionError):
        return out_of_time()
    if isinstance(error, SSLError):
        return "TLS failed: its certificate could not be verified, or it speaks no TLS"
    if isinstance(error, NewConnectionError):
        return "no connection"
    return "the connection broke before the answer"
