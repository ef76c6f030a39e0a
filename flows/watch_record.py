"""What the watcher did, in Prefect's history of runs: the copy goes first, and its record follows."""

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

WAITING, WAITING_ROWS = 200, 20_000
"""Records that wait for Prefect's API, and rows of all of them; beyond, the oldest are lost, and counted."""


class Record(NamedTuple):
    report: RunReport
    trigger: str
    """`homarr-dev-tls changed on OPS`."""


_current: ContextVar[Record] = ContextVar("_current")


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
    show(report)
    return final_state(report)


class Recorder:
    """Writes records in a thread of its own, in order; without Prefect's API they wait."""

    def __init__(self, timings: WatchTimings = DEFAULT) -> None:
        self._timings = timings
        self._waiting: deque[Record] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._trouble = ""
        self.lost = 0
        """Records that could not be kept until the API was back."""
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def add(self, report: RunReport, trigger: str) -> None:
        with self._changed:
            self._waiting.append(Record(report, trigger))
            while len(self._waiting) > WAITING or (len(self._waiting) > 1 and self._rows > WAITING_ROWS):
                self._waiting.popleft()
                self.lost += 1
                registry.record_lost()
            self._changed.notify()

    def close(self, seconds: float) -> None:
        """Write what waits, for so long; the rest is lost, and said."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(seconds)
        if lost := self.lost + len(self._waiting):
            say(f"records lost: {lost}; {self._trouble or 'there was no time left'}")

    @property
    def _rows(self) -> int:
        return sum(len(one.changes) for record in self._waiting for one in record.report.clusters)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if not self._waiting:
                    return
                record = self._waiting[0]
            if self._written(record):
                with self._changed:
                    if self._waiting and self._waiting[0] is record:
                        self._waiting.popleft()
            else:
                with self._changed:
                    if self._closed:
                        return
                    self._changed.wait_for(lambda: self._closed, self._timings.record_retry)

    def _written(self, record: Record) -> bool:
        token = _current.set(record)
        try:
            if trouble := api_trouble():
                return self._could_not(trouble)
            tls_sync_watch(record.trigger, record.report.now.isoformat(), return_state=True)
        except Exception as error:  # noqa: BLE001  its text could hold anything
            return self._could_not(f"a run could not be recorded ({type(error).__name__})")
        finally:
            _current.reset(token)
        self._trouble = ""
        return True

    def _could_not(self, trouble: str) -> bool:
        """Say so once, as long as it is the same trouble."""
        if trouble != self._trouble:
            say(f"{trouble}; records wait")
        self._trouble = trouble
        return False


def api_trouble() -> str:
    """Why Prefect's API records nothing; empty where it does."""
    with get_client(sync_client=True) as client:
        if client.api_healthcheck() is not None:
            return "Prefect's API does not answer; check PREFECT_API_URL"
        try:
            client.read_flows(limit=1)
        except PrefectHTTPStatusError as error:
            return f"Prefect's API answers HTTP {error.response.status_code}; check PREFECT_API_AUTH_STRING"
    return ""


def say(line: str) -> None:
    sys.stderr.write(f"tls-sync watch: {line}\n")
    sys.stderr.flush()
