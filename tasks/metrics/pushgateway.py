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
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

from urllib3 import PoolManager, Timeout
from urllib3.exceptions import HTTPError, NewConnectionError, SSLError
from urllib3.exceptions import TimeoutError as TimedOut

from tasks.config.schema import MAX_BYTES, VARIABLE, SyncConfig, load_config
from tasks.domain.errors import ConfigError
from tasks.domain.models import RunReport
from tasks.domain.names import is_host, is_namespace
from tasks.kube.deadline import Watchdog
from tasks.metrics.definitions import BY_NAME, RUN_LOST
from tasks.metrics.samples import (
    UNKNOWN_OWNER,
    Sample,
    Samples,
    base_of,
    merged,
    of_fleet,
    of_run,
    tidied,
    unreadable,
)
from tasks.runtime.tls import verifying
from tasks.runtime.yaml_file import YamlError, read_yaml

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


class Lost(Exception):
    """A push did not arrive; the message says why, in our words."""


def push(report: RunReport) -> str:
    """Tell of a run; what was lost of it in one line, or nothing."""
    return "" if report.dry_run else _send(_Errand(report.owner, lambda: of_run(report), report))


def push_fleet(config: SyncConfig, began: datetime, *, ok: bool) -> str:
    """Tell of a fleet, and take away what is known of clusters and groups that are gone."""
    made = of_fleet(config.owner, began, datetime.now(UTC), ok=ok)
    return _send(_FleetErrand(config.owner, lambda: made, config=config))


def load_config_or_tell() -> SyncConfig:
    """The configuration; where it can't be read, the Pushgateway hears of that, too. Raises ConfigError."""
    try:
        return load_config()
    except ConfigError as error:
        owner = _owner()
        lost = _send(_Errand(owner, lambda: unreadable(owner, datetime.now(UTC))))
        raise ConfigError(f"{error}\n{lost}" if lost else str(error)) from None


def _owner() -> str:
    """Whose configuration it is, as far as it can be read."""
    try:
        document = read_yaml(Path(os.environ.get(VARIABLE, "")), MAX_BYTES, aliases=True)
    except YamlError:
        return UNKNOWN_OWNER
    owner = document.get("owner") if isinstance(document, dict) else None
    return owner if isinstance(owner, str) and is_namespace(owner) else UNKNOWN_OWNER


def _send(errand: "_Errand") -> str:
    if not os.environ.get(ADDRESS):
        return ""
    thread = Thread(target=errand.run, name="pushgateway", daemon=True)
    thread.start()
    thread.join(LIMIT)
    return errand.account(late=thread.is_alive())


@dataclass
class _Errand:
    owner: str
    of_run: Callable[[], Samples]
    report: RunReport | None = None
    deadline: float = field(default_factory=lambda: time.monotonic() + LIMIT)
    arrived: int = 0
    trouble: str = ""

    def run(self) -> None:
        try:
            self._run(Gateway(self.owner, self.deadline))
        except Lost as error:
            self.trouble = str(error)
        except Exception as error:  # noqa: BLE001  its text could hold anything, and no run fails for it
            self.trouble = f"a defect of tls-sync, {type(error).__name__}"

    def _run(self, gateway: "Gateway") -> None:
        gateway.put(RUN, self.of_run())
        self.arrived += 1
        if self.report is None:
            return
        try:
            job, held = _job(self.report.group), gateway.held()
            known = merged(base_of(held, job, REST, whole=self.report.whole), self.report)
            gateway.put(job, [sample for samples in known.values() for sample in samples])
            self.arrived += 1
        except Lost:
            gateway.post(RUN, [Sample(RUN_LOST, (self.owner,), 1)])
            raise
        for told in set(held) - {job} if self.report.whole else ():
            gateway.delete(told, self.owner)  # of groups: all that they knew has been told anew
        gateway.delete(RUN, UNKNOWN_OWNER)  # the configuration can be read again

    def account(self, *, late: bool) -> str:
        planned = 2 if self.report or isinstance(self, _FleetErrand) else 1
        if not late and not self.trouble:
            return ""
        why, lost = self.trouble or _late(), planned - self.arrived
        told = f"{lost} of {planned} pushes" if lost else "a removal"
        return f"metrics: the Pushgateway did not take {told}: {why}"


@dataclass
class _FleetErrand(_Errand):
    config: SyncConfig = field(kw_only=True)

    def _run(self, gateway: "Gateway") -> None:
        gateway.post(RUN, self.of_run())  # failures of OPS, which a group's run has told, stay
        self.arrived += 1
        held = gateway.held()
        members = {job: self._members(job) for job in held}
        for job, kept in tidied(held, members, REST).items():
            if not kept:
                gateway.delete(job, self.owner)
            elif len(kept) < len(held[job]):
                gateway.put(job, kept)
        self.arrived += 1

    def _members(self, job: str) -> set[str]:
        group = None if job == REST else job.removeprefix(REST_OF_GROUP)
        return {*self.config.members(group)} - {*self.config.suspended}


def _job(group: str | None) -> str:
    return f"{REST_OF_GROUP}{group}" if group else REST


class Gateway:
    """The groups of one owner on a Pushgateway, until a deadline, a moment of time.monotonic()."""

    def __init__(self, owner: str, deadline: float) -> None:
        self._owner, self._deadline, self._headers = owner, deadline, _authorization()
        self._url, context = _address(), None
        if self._url.startswith("https:"):
            try:
                context = verifying(os.environ.get(CA) or None)
            except (ssl.SSLError, ValueError, TypeError):  # the last one for letters beyond ASCII
                raise Lost(f"{CA} is not a certificate in PEM") from None
        self._pool = PoolManager(ssl_context=context) if context else PoolManager()
        Watchdog(self._pool, deadline)

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
                raise Lost(_late())
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
                    break
            if time.monotonic() > self._deadline:  # cut by the watchdog, so this is not all
                raise Lost(_late())
        except (HTTPError, OSError, ValueError) as error:
            raise Lost(_late() if time.monotonic() > self._deadline else _unanswered(error)) from None


def _address() -> str:
    given = os.environ.get(ADDRESS, "")
    try:
        url = urlsplit(given)
        fits = url.scheme in ("http", "https") and is_host(url.hostname or "") and url.port != 0
    except ValueError:
        fits = False
    if not fits or "@" in url.netloc or url.query or url.fragment:
        raise Lost(f"{ADDRESS} is no http:// or https:// address without user, query and fragment")
    return url.geturl().rstrip("/")


def _authorization() -> dict[str, str]:
    pair = os.environ.get(AUTH, "").strip()
    if pair and ":" not in pair:
        raise Lost(f"{AUTH} is not user:password")
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


def _late() -> str:
    return f"no answer in {LIMIT} s"


def _unanswered(error: Exception) -> str:
    """The library's text may hold an address or more: it stays here."""
    if isinstance(error, TimedOut) and not isinstance(error, NewConnectionError):
        return _late()
    if isinstance(error, SSLError):
        return "TLS failed: its certificate could not be verified, or it speaks no TLS"
    if isinstance(error, NewConnectionError):
        return "no connection"
    return "the connection broke before the answer"
