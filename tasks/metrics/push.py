"""Pushes the samples of a report to a Pushgateway. A run neither fails nor waits for longer than TIMEOUT.

A thread does it. If it is not done by then, nobody waits for it any longer: it ends with its connection or
with the process.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread

from tasks.config.load import MAX_BYTES, VARIABLE
from tasks.config.schema import SyncConfig
from tasks.domain.errors import ConfigError
from tasks.domain.models import RunReport
from tasks.domain.names import is_namespace
from tasks.metrics.build_info import build_info
from tasks.metrics.definitions import RUN_LOST
from tasks.metrics.pushgateway import (
    ADDRESS,
    GROUP_JOB_PREFIX,
    RUN_JOB,
    STATE_JOB,
    TIMEOUT,
    PushFailed,
    PushgatewayClient,
    out_of_time,
)
from tasks.metrics.samples import (
    UNKNOWN_OWNER,
    Sample,
    Samples,
    config_error_samples,
    fleet_samples,
    merge,
    previous_parts,
    run_samples,
    without_duplicates,
)
from tasks.metrics.served_samples import ServedByCluster, served_by_job
from tasks.runtime.yaml_file import YamlError, read_yaml


def push(report: RunReport) -> str:
    """Push the samples of a run. Return which pushes failed, in one line; empty if none did."""
    return "" if report.parameters.dry_run else _send(Push(report.owner, lambda: run_samples(report), report))


def push_fleet(config: SyncConfig, began: datetime, *, ok: bool, is_complete: bool = True) -> str:
    """Push the samples of a fleet's run, and delete those of clusters and groups that are gone.

    Where discovered clusters are not known (`is_complete` is false), nothing is deleted. Returns which pushes
    failed, in one line; empty if none did.
    """
    samples = fleet_samples(config.owner, began, datetime.now(UTC), ok=ok)
    if not is_complete:
        return _send(Push(config.owner, lambda: samples))
    return _send(FleetPush(config.owner, lambda: samples, config=config))


def push_served(owner: str, found: ServedByCluster) -> str:
    """Push what an inventory found served. Return which pushes failed, in one line; empty if none did."""
    return _send(ServedPush(owner, tuple, found=found)) if found else ""


@contextmanager
def reporting_config_errors() -> Iterator[None]:
    """Push that the configuration can't be read, and raise its ConfigError again.

    If the push fails, too, the error has a second line that says so.
    """
    try:
        yield
    except ConfigError as error:
        owner = _owner()
        lost = _send(Push(owner, lambda: config_error_samples(owner, datetime.now(UTC))))
        raise ConfigError(f"{error}\n{lost}" if lost else str(error)) from None


def _owner() -> str:
    """Return the owner in the configuration; UNKNOWN_OWNER if it can't be read."""
    try:
        document = read_yaml(Path(os.environ.get(VARIABLE, "")), MAX_BYTES, aliases=True)
    except YamlError:
        return UNKNOWN_OWNER
    owner = document.get("owner") if isinstance(document, dict) else None
    return owner if isinstance(owner, str) and is_namespace(owner) else UNKNOWN_OWNER


def _send(push: "Push") -> str:
    if not os.environ.get(ADDRESS):
        return ""
    thread = Thread(target=push.run, name="pushgateway", daemon=True)
    thread.start()
    thread.join(TIMEOUT)
    return push.failure_message(late=thread.is_alive())


@dataclass
class Push:
    """The pushes of one run: the samples that describe the run, then those of OPS and its targets."""

    owner: str
    run_samples: Callable[[], Samples]
    report: RunReport | None = None
    deadline: float = field(default_factory=lambda: time.monotonic() + TIMEOUT)
    completed: int = 0
    """Number of pushes that the Pushgateway accepted."""
    error: str = ""

    @property
    def planned(self) -> int:
        return 2 if self.report else 1

    def run(self) -> None:
        try:
            self._run(PushgatewayClient(self.owner, self.deadline))
        except PushFailed as error:
            self.error = str(error)
        except Exception as error:  # noqa: BLE001  its text could contain anything, so it ends here
            self.error = f"a defect of tls-sync, {type(error).__name__}"

    def _run(self, client: PushgatewayClient) -> None:
        client.put(RUN_JOB, (*self.run_samples(), build_info()))
        self.completed += 1
        if self.report is None:
            return
        try:
            job, current = _job(self.report.parameters.group), client.current_samples()
            covers_everything = self.report.covers_everything
            previous = previous_parts(current, job, STATE_JOB, covers_everything=covers_everything)
            parts = merge(previous, self.report)
            client.put(job, [sample for samples in parts.values() for sample in samples])
            self.completed += 1
        except PushFailed:
            client.post(RUN_JOB, [Sample(RUN_LOST, (self.owner,), 1)])
            raise
        for other in set(current) - {job} if covers_everything else ():
            client.delete(other, self.owner)  # this push has replaced all samples of the groups
        client.delete(RUN_JOB, UNKNOWN_OWNER)  # the configuration can be read again

    def failure_message(self, *, late: bool) -> str:
        """Return which pushes failed; empty if none did. `late`: the pushes are not done yet."""
        if not late and not self.error:
            return ""
        lost = self.planned - self.completed
        what = f"{lost} of {self.planned} pushes" if lost else "a removal"
        return f"metrics: the Pushgateway did not take {what}: {self.error or out_of_time()}"


@dataclass
class FleetPush(Push):
    """The pushes of a fleet's run: the samples that describe it, then what remains of all others."""

    config: SyncConfig = field(kw_only=True)

    @property
    def planned(self) -> int:
        return 2

    def _run(self, client: PushgatewayClient) -> None:
        # POST keeps the failures of OPS that the runs of groups have pushed.
        client.post(RUN_JOB, (*self.run_samples(), build_info()))
        self.completed += 1
        current = client.current_samples()
        members = {job: self._members(job) for job in current}
        for job, samples in without_duplicates(current, members, STATE_JOB).items():
            if not samples:
                client.delete(job, self.owner)
            elif len(samples) < len(current[job]):
                client.put(job, samples)
        self.completed += 1

    def _members(self, job: str) -> set[str]:
        group = None if job == STATE_JOB else job.removeprefix(GROUP_JOB_PREFIX)
        return {*self.config.members(group)} - {*self.config.suspended}


@dataclass
class ServedPush(Push):
    """The push of what an inventory found served; it replaces no other samples."""

    found: ServedByCluster = field(kw_only=True)

    @property
    def planned(self) -> int:
        return 1

    def _run(self, client: PushgatewayClient) -> None:
        for job, samples in served_by_job(client.current_samples(), self.found, STATE_JOB).items():
            client.post(job, samples)
        self.completed += 1


def _job(group: str | None) -> str:
    return f"{GROUP_JOB_PREFIX}{group}" if group else STATE_JOB
