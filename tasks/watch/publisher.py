"""Logs, measures and records the watcher's reports.

Publishing takes the longer, the more certificates there are, so reports that come while others are published
are published together.
"""

import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from tasks.domain.models import RunReport
from tasks.metrics import registry
from tasks.report.verdict import change_message, run_verdict

MAX_TURNS = 5
"""How often one thread publishes what has come meanwhile. Until it goes on, its certificate is not copied
again, and a sync of all certificates waits for it."""


class Recorder(Protocol):
    """Stores reports, and what triggered each."""

    def add(self, report: RunReport, trigger: str) -> None: ...

    def close(self, seconds: float) -> None:
        """Store what is left, for at most this long."""


class Unpublished(NamedTuple):
    report: RunReport
    trigger: str
    seconds: float | None


class Publisher:
    """Several threads may call `publish`."""

    def __init__(
        self, recorder: Recorder, updated: Callable[[Sequence[RunReport]], Sequence[RunReport]]
    ) -> None:
        """`updated` returns the reports with what is known of OPS by now."""
        self._recorder, self._updated = recorder, updated
        self._publishing = threading.Lock()
        self._waiting: deque[Unpublished] = deque()

    def publish(self, report: RunReport, trigger: str, seconds: float | None = None) -> None:
        """Publish a report and all that wait, in order; if another thread publishes, leave it to that one."""
        self._waiting.append(Unpublished(report, trigger, seconds))
        self.publish_waiting()

    def publish_waiting(self) -> None:
        """Publish what waits. Where reports keep coming, the next call publishes the rest."""
        for _ in range(MAX_TURNS):
            if not self._waiting or not self._publishing.acquire(blocking=False):
                return
            try:
                self._publish([self._waiting.popleft() for _ in range(len(self._waiting))])
            finally:
                self._publishing.release()

    def _publish(self, waiting: Sequence[Unpublished]) -> None:
        reports = self._updated([one.report for one in waiting])
        for report, (_, trigger, seconds) in zip(reports, waiting, strict=True):
            message = change_message if report.parameters.certificate else _message
            log(f"{trigger}: {message(report)}" + ("" if seconds is None else f" ({seconds:.2f} s)"))
            self._recorder.add(report, trigger)
        if reports:
            registry.observe(*reports)


def _message(report: RunReport) -> str:
    return run_verdict(report).message


def log(line: str) -> None:
    """Write a line to stdout, with the time of day."""
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {line}\n")
    sys.stdout.flush()
