"""Pushes a report's samples to the Pushgateway, within two seconds, whatever it does."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread

from tasks.config.load import MAX_BYTES, VARIABLE, load_config
from tasks.config.schema import SyncConfig
from tasks.domain.errors import ConfigError
from tasks.domain.models import RunReport
from tasks.domain.names import is_namespace
from tasks.metrics.definitions import RUN_LOST
from tasks.metrics.pushgateway import (
    ADDRESS,
    LIMIT,
    REST,
    REST_OF_GROUP,
    RUN,
    Gateway,
    PushFailed,
    out_of_time,
)
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
from tasks.runtime.yaml_file import YamlError, read_yaml


def push(report: RunReport) -> str:
    """Tell of a run; what was lost of it in one line, or nothing."""
    return "" if report.dry_run else _send(Push(report.owner, lambda: of_run(report), report))


def push_fleet(config: SyncConfig, began: datetime, *, ok: bool) -> str:
    """Tell of a fleet, and take away what is known of clusters and groups that are gone."""
    made = of_fleet(config.owner, began, datetime.now(UTC), ok=ok)
    return _send(FleetPush(config.owner, lambda: made, config=config))


def load_config_or_tell() -> SyncConfig:
    """The configuration; where it can't be read, the Pushgateway hears of that, too. Raises ConfigError."""
    try:
        return load_config()
    except ConfigError as error:
        owner = _owner()
        lost = _send(Push(owner, lambda: unreadable(owner, datetime.now(UTC))))
        raise ConfigError(f"{error}\n{lost}" if lost else str(error)) from None


def _owner() -> str:
    """Whose configuration it is, as far as it can be read."""
    try:
        document = read_yaml(Path(os.environ.get(VARIABLE, "")), MAX_BYTES, aliases=True)
    except YamlError:
        return UNKNOWN_OWNER
    owner = document.get("owner") if isinstance(document, dict) else None
    return owner if isinstance(owner, str) and is_namespace(owner) else UNKNOWN_OWNER


def _send(errand: "Push") -> str:
    if not os.environ.get(ADDRESS):
        return ""
    thread = Thread(target=errand.run, name="pushgateway", daemon=True)
    thread.start()
    thread.join(LIMIT)
    return errand.account(late=thread.is_alive())


@dataclass
class Push:
    owner: str
    of_run: Callable[[], Samples]
    report: RunReport | None = None
    deadline: float = field(default_factory=lambda: time.monotonic() + LIMIT)
    arrived: int = 0
    trouble: str = ""

    def run(self) -> None:
        try:
            self._run(Gateway(self.owner, self.deadline))
        except PushFailed as error:
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
            known = merged(base_of(held, job, REST, whole=self.report.covers_everything), self.report)
            gateway.put(job, [sample for samples in known.values() for sample in samples])
            self.arrived += 1
        except PushFailed:
            gateway.post(RUN, [Sample(RUN_LOST, (self.owner,), 1)])
            raise
        for told in set(held) - {job} if self.report.covers_everything else ():
            gateway.delete(told, self.owner)  # of groups: all that they knew has been told anew
        gateway.delete(RUN, UNKNOWN_OWNER)  # the configuration can be read again

    def account(self, *, late: bool) -> str:
        planned = 2 if self.report or isinstance(self, FleetPush) else 1
        if not late and not self.trouble:
            return ""
        why, lost = self.trouble or out_of_time(), planned - self.arrived
        told = f"{lost} of {planned} pushes" if lost else "a removal"
        return f"metrics: the Pushgateway did not take {told}: {why}"


@dataclass
class FleetPush(Push):
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
