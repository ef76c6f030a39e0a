"""Takes a run's metrics to a Pushgateway, where one is configured. A run neither fails nor waits for it.

Environment: TLS_SYNC_PUSHGATEWAY, an http(s) address; TLS_SYNC_PUSHGATEWAY_AUTH, `user:password`;
TLS_SYNC_PUSHGATEWAY_CA, the CA of https as PEM, where it is not one that the system knows.

All of it has LIMIT seconds. A thread does it, since neither a name server nor a server that drips can be
given a deadline; where it isn't done by then, it is left alone and ends with the process.
"""

import base64
import os
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from threading import Thread
from urllib.parse import quote, urlsplit

from urllib3 import PoolManager, Timeout
from urllib3.exceptions import HTTPError, NewConnectionError, SSLError
from urllib3.exceptions import TimeoutError as TimedOut

from tasks.config import MAX_BYTES, VARIABLE, SyncConfig, load_config
from tasks.errors import ConfigError
from tasks.families import RUN_LOST
from tasks.models import RunReport
from tasks.names import is_host, is_namespace
from tasks.samples import UNKNOWN_OWNER, Group, Groups, Sample, gone, groups_of, unreadable
from tasks.yaml_file import YamlError, read_yaml

ADDRESS, AUTH, CA = "TLS_SYNC_PUSHGATEWAY", "TLS_SYNC_PUSHGATEWAY_AUTH", "TLS_SYNC_PUSHGATEWAY_CA"
LIMIT = 1.8
"""Seconds, of the two that the metrics may cost a run."""
LONGEST_LINE = 4096


class Lost(Exception):
    """A push did not arrive; the message says why, in our words."""


class Useless(Lost):
    """Nor would another one."""


def push(report: RunReport) -> str:
    """Tell of a run; what was lost of it in one line, or nothing."""
    return _deliver(groups_of(report), report)


def load_config_or_tell() -> SyncConfig:
    """The configuration; where it can't be read, the Pushgateway hears of that, too. Raises ConfigError."""
    try:
        return load_config()
    except ConfigError as error:
        lost = _deliver(unreadable(_owner(), datetime.now(UTC)))
        raise ConfigError(f"{error}\n{lost}" if lost else str(error)) from None


def _owner() -> str:
    """Whose configuration it is, as far as it can be read."""
    try:
        document = read_yaml(Path(os.environ.get(VARIABLE, "")), MAX_BYTES, aliases=True)
    except YamlError:
        return UNKNOWN_OWNER
    owner = document.get("owner") if isinstance(document, dict) else None
    return owner if isinstance(owner, str) and is_namespace(owner) else UNKNOWN_OWNER


def _deliver(groups: Groups, report: RunReport | None = None) -> str:
    if not groups or not os.environ.get(ADDRESS):
        return ""
    errand = _Errand(groups, report)
    thread = Thread(target=errand.run, name="pushgateway", daemon=True)
    thread.start()
    thread.join(LIMIT)
    return errand.account(late=thread.is_alive())


@dataclass
class _Errand:
    groups: Groups
    report: RunReport | None
    deadline: float = field(default_factory=lambda: time.monotonic() + LIMIT)
    arrived: int = 0
    trouble: str = ""

    def run(self) -> None:
        try:
            self._run(Gateway(self.deadline))
        except Lost as error:
            self.trouble = self.trouble or str(error)
        except Exception as error:  # noqa: BLE001  its text could hold anything, and no run fails for it
            self.trouble = f"a defect of tls-sync, {type(error).__name__}"

    def _run(self, gateway: "Gateway") -> None:
        for group, samples in self.groups.items():
            try:
                gateway.put(group, samples)
                self.arrived += 1
            except Useless:
                raise
            except Lost as error:
                self.trouble = self.trouble or str(error)
        first = next(iter(self.groups))
        if lost := len(self.groups) - self.arrived:
            gateway.post(first, (Sample(RUN_LOST, (first.owner,), lost),))
        if self.report:
            self._remove_what_is_gone(gateway, self.report)

    @staticmethod
    def _remove_what_is_gone(gateway: "Gateway", report: RunReport) -> None:
        for group in [group for group in gateway.groups() if gone(group, report)]:
            gateway.delete(group)

    def account(self, *, late: bool) -> str:
        if not (late or self.trouble):
            return ""
        why = self.trouble or f"no answer in {LIMIT} s"
        lost = len(self.groups) - self.arrived
        told = f"{lost} of {len(self.groups)} pushes" if lost else "the removal of what is gone"
        return f"metrics: the Pushgateway did not take {told}: {why}"


class Gateway:
    """Requests of one Pushgateway until a deadline, a moment of time.monotonic()."""

    def __init__(self, deadline: float) -> None:
        self._deadline, self._headers = deadline, _authorization()
        self._url, context = _address(), None
        if self._url.startswith("https:"):
            try:
                context = ssl.create_default_context(cadata=os.environ.get(CA) or None)
            except (ssl.SSLError, ValueError):
                raise Useless(f"{CA} is not a certificate in PEM") from None
        self._pool = PoolManager(ssl_context=context) if context else PoolManager()

    def put(self, group: Group, samples: tuple[Sample, ...]) -> None:
        """Nothing else is in the group from now on."""
        self._write("PUT", group, samples)

    def post(self, group: Group, samples: tuple[Sample, ...]) -> None:
        """These take the place of those of the same name."""
        self._write("POST", group, samples)

    def delete(self, group: Group) -> None:
        for _ in self._lines("DELETE", _path(group)):
            pass

    def groups(self) -> Iterator[Group]:
        """Those that could be ours; read as a stream, for others may have put much there."""
        from prometheus_client.parser import text_string_to_metric_families as parse  # noqa: PLC0415

        for line in self._lines("GET", ""):
            if not line.startswith(b"push_time_seconds{"):
                continue
            for family in parse(line.decode(errors="replace") + "\n"):
                labels = dict(family.samples[0].labels)
                labels.pop("instance", None)  # which the gateway adds
                if {"job", "owner"} <= set(labels) <= set(Group._fields):
                    yield Group(**labels)

    def _write(self, method: str, group: Group, samples: tuple[Sample, ...]) -> None:
        from tasks.metrics import text  # noqa: PLC0415  not for those without a Pushgateway

        for _ in self._lines(method, _path(group), text(samples)):
            pass

    def _lines(self, method: str, path: str, body: bytes | None = None) -> Iterator[bytes]:
        """The answer's lines. Raises Lost where it is none of success."""
        try:
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise Useless(f"no answer in {LIMIT} s")
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
                raise Lost(_refusal(response.status))
            rest = b""
            while piece := response.read1(65536):
                *lines, rest = (rest[-LONGEST_LINE:] + piece).split(b"\n")
                yield from lines
                if time.monotonic() > self._deadline:
                    response.close()
                    raise Useless(f"no answer in {LIMIT} s")
        except (HTTPError, OSError, ValueError) as error:
            raise Useless(_unanswered(error)) from None


def _address() -> str:
    given = os.environ.get(ADDRESS, "")
    try:
        url = urlsplit(given)
        fits = url.scheme in ("http", "https") and is_host(url.hostname or "") and url.port != 0
    except ValueError:
        fits = False
    if not fits or "@" in url.netloc or url.query or url.fragment:
        raise Useless(f"{ADDRESS} is no http:// or https:// address without user, query and fragment")
    return url.geturl().rstrip("/")


def _authorization() -> dict[str, str]:
    pair = os.environ.get(AUTH, "").strip()
    if pair and ":" not in pair:
        raise Useless(f"{AUTH} is not user:password")
    encoded = base64.b64encode(pair.encode()).decode()
    kind = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
    return {**kind, "Authorization": f"Basic {encoded}"} if pair else kind


def _path(group: Group) -> str:
    labels = [f"/{name}/{quote(value, safe='')}" for name, value in group._asdict().items() if value]
    return "".join(labels)


def _refusal(status: int) -> str:
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return f"HTTP {status}; check {AUTH}"
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return f"HTTP {status}: a redirect, which is not followed; check {ADDRESS}"
    return f"HTTP {status}"


def _unanswered(error: Exception) -> str:
    """The library's text may hold an address or more: it stays here."""
    if isinstance(error, TimedOut) and not isinstance(error, NewConnectionError):
        return f"no answer in {LIMIT} s"
    if isinstance(error, SSLError):
        return "TLS failed: its certificate could not be verified, or it speaks no TLS"
    if isinstance(error, NewConnectionError):
        return "no connection"
    return "the connection broke before the answer"
