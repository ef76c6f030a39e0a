"""Records in Prefect what the watcher did, as flow runs. The watcher copies first and records afterwards."""

import sys
import threading
from collections import deque
from contextvars import ContextVar
from typing import NamedTuple

from prefect import flow, runtime
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.exceptions import PrefectHTTPStatusError

from tasks.domain.models import RunReport
from tasks.metrics import registry
from tasks.orchestration.publish import final_state, show
from tasks.watch.timings import DEFAULT, WatchTimings

MAX_RECORDS = 200
"""Maximum number of records that wait for Prefect's API; beyond it, the oldest are dropped and counted."""
MAX_ROWS = 20_000
"""Maximum number of report rows in all of these records; the newest record is kept however large it is."""


class Record(NamedTuple):
    report: RunReport
    trigger: str
    """`homarr-dev-tls changed`."""


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
    """Writes records in order, in its own thread; without Prefect's API they wait."""

    def __init__(self, timings: WatchTimings = DEFAULT) -> None:
        self._timings = timings
        self._records: deque[Record] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._last_error = ""
        self.dropped = 0
        """Records that were dropped before Prefect's API accepted them."""
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def add(self, report: RunReport, trigger: str) -> None:
        with self._changed:
            self._records.append(Record(report, trigger))
            while len(self._records) > MAX_RECORDS or (len(self._records) > 1 and self._rows > MAX_ROWS):
                self._records.popleft()
                self.dropped += 1
                registry.count_lost_record()
            self._changed.notify()

    def close(self, seconds: float) -> None:
        """Write waiting records for at most this long, and log how many are lost."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(seconds)
        if lost := self.dropped + len(self._records):
            log(f"records lost: {lost}; {self._last_error or 'there was no time left'}")

    @property
    def _rows(self) -> int:
        return sum(len(one.changes) for record in self._records for one in record.report.clusters)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._records or self._closed)
                if not self._records:
                    return
                record = self._records[0]
            if self._write(record):
                with self._changed:
                    if self._records and self._records[0] is record:
                        self._records.popleft()
            else:
                with self._changed:
                    if self._closed:
                        return
                    self._changed.wait_for(lambda: self._closed, self._timings.record_retry)

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
