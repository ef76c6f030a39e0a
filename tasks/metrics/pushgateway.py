"""A client of a Pushgateway, for the groups of one owner.

Environment: TLS_SYNC_PUSHGATEWAY, an http(s) address; TLS_SYNC_PUSHGATEWAY_AUTH, `user:password`;
TLS_SYNC_PUSHGATEWAY_CA, the CA of https as PEM, if the system does not trust it already.

All samples of an owner are in a few groups, which are read, merged and replaced as a whole: so the number of
requests does not grow with the number of clusters.
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
from tasks.metrics.samples import Sample, Samples
from tasks.runtime.tls import tls_context

ADDRESS, AUTH, CA = "TLS_SYNC_PUSHGATEWAY", "TLS_SYNC_PUSHGATEWAY_AUTH", "TLS_SYNC_PUSHGATEWAY_CA"
TIMEOUT = 1.8
"""Seconds that all requests of a push may take together."""
MAX_LINE = 4096
"""Maximum length of a line that is read, in bytes; longer ones are cut and ignored."""
LINE = re.compile(rb'(tls_sync_\w+)\{((?:\w+="[^"\\]*",?)+)\} ([0-9.e+-]+)')
PAIR = re.compile(rb'(\w+)="([^"\\]*)"')
"""Label values of tls-sync need no unquoting; the parser of prometheus_client takes ten times as long."""
RUN_JOB = "tls-sync-run"
"""The job of the samples that describe the last run."""
STATE_JOB = "tls-sync"
"""The job of the samples that describe OPS and its target clusters."""
GROUP_JOB_PREFIX = f"{STATE_JOB}-group-"
"""Prefix of the job of a group of clusters. Runs of groups, side by side, push to it instead of STATE_JOB."""


class PushFailed(Exception):
    """A request to the Pushgateway failed. The message gives the reason, without text of the server."""


class PushgatewayClient:
    """Reads and writes the groups of one owner until a deadline, a time of time.monotonic() in seconds.

    Its methods raise PushFailed.
    """

    def __init__(self, owner: str, deadline: float) -> None:
        self._owner, self._deadline, self._headers = owner, deadline, _authorization()
        self._url, context = _address(), None
        if self._url.startswith("https:"):
            try:
                context = tls_context(os.environ.get(CA) or None)
            except (ssl.SSLError, ValueError, TypeError):  # TypeError if it is not ASCII
                raise PushFailed(f"{CA} is not a certificate in PEM") from None
        self._pool = PoolManager(ssl_context=context) if context else PoolManager()
        ConnectionDeadline(self._pool, deadline)

    def put(self, job: str, samples: Iterable[Sample]) -> None:
        """Replace all samples of the group."""
        self._write("PUT", job, samples)

    def post(self, job: str, samples: Iterable[Sample]) -> None:
        """Replace the samples of the group that have the same names."""
        self._write("POST", job, samples)

    def delete(self, job: str, owner: str) -> None:
        for _ in self._lines("DELETE", _path(job, owner)):
            pass

    def current_samples(self) -> dict[str, Samples]:
        """Return the owner's samples of OPS and its targets, by job.

        The response is read line by line: others may have pushed many samples of their own.
        """
        found: dict[str, list[Sample]] = {}
        for line in self._lines("GET", ""):
            match = LINE.fullmatch(line)
            family = BY_NAME.get(match[1].decode()) if match else None
            if not (match and family):
                continue
            labels = {name.decode(): value.decode() for name, value in PAIR.findall(match[2])}
            job = labels.get("job", "")
            ours = labels.get("owner") == self._owner and (
                job == STATE_JOB or job.startswith(GROUP_JOB_PREFIX)
            )
            if ours and {*family.labels} == labels.keys() - {"job", "instance"}:
                sample = Sample(family, tuple(labels[name] for name in family.labels), float(match[3]))
                found.setdefault(job, []).append(sample)
        return {job: tuple(samples) for job, samples in found.items()}

    def _write(self, method: str, job: str, samples: Iterable[Sample]) -> None:
        from tasks.metrics.registry import text  # noqa: PLC0415  only where there is a Pushgateway

        for _ in self._lines(method, _path(job, self._owner), text(samples)):
            pass

    def _lines(self, method: str, path: str, body: bytes | None = None) -> Iterator[bytes]:
        """Send a request and yield the lines of the response."""
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
                raise PushFailed(_status_reason(response.status))
            rest = b""
            while piece := response.read1(65536):
                *lines, rest = (rest[-MAX_LINE:] + piece).split(b"\n")
                yield from lines
                if self._is_late():
                    response.close()
                    break
            if self._is_late():  # ConnectionDeadline cuts the connection: the response is incomplete
                raise PushFailed(out_of_time())
        except (HTTPError, OSError, ValueError) as error:
            raise PushFailed(out_of_time() if self._is_late() else _error_reason(error)) from None

    def _is_late(self) -> bool:
        return time.monotonic() > self._deadline


def _address() -> str:
    given = os.environ.get(ADDRESS, "")
    try:
        url = urlsplit(given)
        fits = url.scheme in ("http", "https") and is_host(url.hostname or "") and url.port != 0
    except ValueError:
        fits = False
    if not fits or "@" in url.netloc or url.query or url.fragment:
        raise PushFailed(f"{ADDRESS} is not an http:// or https:// address without user, query and fragment")
    return url.geturl().rstrip("/")


def _authorization() -> dict[str, str]:
    pair = os.environ.get(AUTH, "").strip()
    if pair and ":" not in pair:
        raise PushFailed(f"{AUTH} is not user:password")
    encoded = base64.b64encode(pair.encode(errors="surrogateescape")).decode()
    kind = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
    return {**kind, "Authorization": f"Basic {encoded}"} if pair else kind


def _path(job: str, owner: str) -> str:
    return f"/job/{job}/owner/{owner}"


def _status_reason(status: int) -> str:
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return f"HTTP {status}; check {AUTH}"
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return f"HTTP {status}: a redirect, which is not followed; check {ADDRESS}"
    return f"HTTP {status}"


def out_of_time() -> str:
    return f"no answer in {TIMEOUT} s"


def _error_reason(error: Exception) -> str:
    """Return the reason in words of tls-sync: the error's own text may contain an address."""
    if isinstance(error, TimedOut) and not isinstance(error, NewConnectionError):
        return out_of_time()
    if isinstance(error, SSLError):
        return "TLS failed: its certificate could not be verified, or it speaks no TLS"
    if isinstance(error, NewConnectionError):
        return "no connection"
    return "the connection broke before the answer"
