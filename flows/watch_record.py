"""Records in Prefect what the watcher did, as flow runs. The watcher copies first and records afterwards."""

import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextvars import ContextVar
from typing import NamedTuple

from prefect import flow, runtime
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.exceptions import PrefectHTTPStatusError

from tasks.domain.models import RunReport
from tasks.metrics import registry
from tasks.orchestration.publish import final_state, show
from tasks.report.merge import count_rows, merged
from tasks.watch.timings import DEFAULT, WatchTimings

MAX_ROWS = 20_000
"""Maximum number of report rows that wait for Prefect's API; beyond it, the oldest records are dropped and
counted. The newest record is kept however large it is."""
MAX_REPORTS = 50
"""Maximum number of reports that wait one by one; more become one record before Prefect's API answers."""
MAX_NAMED = 2
"""Maximum number of triggers that the name of a record of several shows."""


class Record(NamedTuple):
    report: RunReport
    triggers: tuple[str, ...]
    """Each once: `homarr-dev-tls changed`."""
    reports: int = 1
    """Number of reports in it."""

    @property
    def trigger(self) -> str:
        """What triggered it, for people: `start, web-a-tls changed and 298 more`."""
        more = len(self.triggers) - MAX_NAMED
        named = ", ".join(self.triggers[:MAX_NAMED])
        return f"{named} and {more} more" if more > 0 else named


def one_of(records: Sequence[Record]) -> Record:
    triggers = dict.fromkeys(trigger for record in records for trigger in record.triggers)
    report = merged([record.report for record in records])
    return Record(report, tuple(triggers), sum(record.reports for record in records))


_current: ContextVar[Record] = ContextVar("_current")
"""The record of the flow run: a parameter would be stored by Prefect."""


def run_name() -> str:
    return f"watch: {runtime.flow_run.parameters['trigger']}"


@flow(
    name="tls-sync-watch",
    description="What the watcher did when something had changed on OPS.",
    flow_run_name=run_name,
    persist_result=False,
    log_prints=False,
)
def tls_sync_watch(trigger: str, copied_at: str) -> State[None]:  # noqa: ARG001  shown by Prefect
    report = _current.get().report
    show(report, everything=True)  # a record has no tasks: the history takes the clusters' results from these
    return final_state(report)


class Recorder:
    """Writes records in order, in its own thread; reports that wait for Prefect's API become one record."""

    def __init__(self, timings: WatchTimings = DEFAULT) -> None:
        self._timings = timings
        self._records: deque[Record] = deque()
        self._writing: Record | None = None
        self._changed = threading.Condition()
        self._closed = False
        self._added = 0
        """Reports so far."""
        self._last_error = ""
        self.dropped = 0
        """Reports that were dropped before Prefect's API accepted them."""
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def add(self, report: RunReport, trigger: str) -> None:
        with self._changed:
            self._added += 1
            self._records.append(Record(report, (trigger,)))
            if len(self._records) > MAX_REPORTS or self._rows > MAX_ROWS:
                self._merge()
            while len(self._records) > 1 and self._rows > MAX_ROWS:
                for _ in range(self._records.popleft().reports):
                    self.dropped += 1
                    registry.count_lost_record()
            self._changed.notify()

    def _merge(self) -> Record:
        """Make one record of those that wait, unless it has too many rows; return the next one to be written.

        The one that is being written is left alone.
        """
        writing = [self._records.popleft()] if self._records[0] is self._writing else []
        if self._records:
            together = one_of(self._records)
            if count_rows(together.report) <= MAX_ROWS:
                self._records = deque([together])
        self._records.extendleft(writing)
        return self._records[0]

    def close(self, seconds: float) -> None:
        """Write waiting records for at most this long, and log how many are lost."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(seconds)
        if lost := self.dropped + sum(one.reports for one in self._records):
            log(f"records lost: {lost}; {self._last_error or 'there was no time left'}")

    @property
    def _rows(self) -> int:
        return sum(count_rows(record.report) for record in self._records)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._records or self._closed)
                if not self._records:
                    return
                self._wait_while_reports_come()
                record = self._writing = self._merge()
            is_written = self._write(record)
            with self._changed:
                self._writing = None
                if is_written:
                    if self._records and self._records[0] is record:
                        self._records.popleft()
                else:
                    if self._closed:
                        return
                    self._changed.wait_for(lambda: self._closed, self._timings.record_retry)

    def _wait_while_reports_come(self) -> None:
        """Prefect takes more CPU for a record than a copy takes: many changes become one record after them.

        The caller holds the lock.
        """
        at_most, seen = time.monotonic() + self._timings.record_max_delay, -1
        while not self._closed and seen != self._added and time.monotonic() < at_most:
            seen = self._added
            self._changed.wait_for(lambda: self._closed, self._timings.record_delay)

    def _write(self, record: Record) -> bool:
        token = _current.set(record)
        try:
            error = api_error()
            if not error:
                tls_sync_watch(record.trigger, record.report.now.isoformat(), return_state=True)
        except Exception as unexpected:  # noqa: BLE001  its text could hold anything
            error = f"a run could not be recorded ({type(unexpected).__name__})"
        finally:
            _current.reset(token)
        if error and error != self._last_error:
            log(f"{error}; records wait")
        self._last_error = error
        return not error


def api_error() -> str:
    """Say why Prefect's API accepts no records; return an empty string if it does."""
    with get_client(sync_client=True) as client:
        if client.api_healthcheck() is not None:
            return "Prefect's API does not answer; check PREFECT_API_URL"
        try:
            client.read_flows(limit=1)
        except PrefectHTTPStatusError as error:
            return f"Prefect's API answers HTTP {error.response.status_code}; check PREFECT_API_AUTH_STRING"
    return ""


def log(line: str) -> None:
    sys.stderr.write(f"tls-sync watch: {line}\n")
    sys.stderr.flush()
