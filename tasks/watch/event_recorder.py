"""Creates Kubernetes Events of what the watcher copied: after the copies, in a thread of its own."""

import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from tasks.config.reload import ReloadedConfig
from tasks.domain.errors import ConfigError
from tasks.domain.models import RunReport
from tasks.report.kubernetes_events import MAX_EVENTS, KubernetesEvent, kubernetes_events_of
from tasks.source.write_events import write_events
from tasks.watch.publisher import Recorder, log


class EventRecorder:
    """A Recorder that hands each report to another one, and creates its Events if there are any.

    At most MAX_EVENTS wait; while OPS accepts none, the oldest are dropped. The log says so.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder, self._config = recorder, ReloadedConfig()
        self._thread = ThreadPoolExecutor(1, "events")
        self._lock = threading.Lock()
        self._waiting: deque[KubernetesEvent] = deque(maxlen=MAX_EVENTS)
        self._dropped = 0
        self._last_error = ""

    def add(self, report: RunReport, trigger: str) -> None:
        self._recorder.add(report, trigger)
        if events := kubernetes_events_of(report):
            with self._lock:
                self._dropped += max(0, len(self._waiting) + len(events) - MAX_EVENTS)
                self._waiting.extend(events)
            self._thread.submit(self._write_waiting)

    def close(self, seconds: float) -> None:
        """Let the Events that are being written end, which tasks/source/write_events.py limits."""
        self._recorder.close(seconds)
        self._thread.shutdown(cancel_futures=True)

    def _write_waiting(self) -> None:
        with self._lock:
            events, dropped = list(self._waiting), self._dropped
            self._waiting.clear()
            self._dropped = 0
        self._log_once(self._write(events))
        if dropped:
            log(f"Kubernetes Events on OPS: {dropped} were dropped, since more changed than OPS accepted")

    def _write(self, events: Sequence[KubernetesEvent]) -> str:
        if not events:
            return ""
        try:
            return write_events(self._config.load().source, events)
        except ConfigError as error:
            return f"Kubernetes Events on OPS are missing: {error}"

    def _log_once(self, error: str) -> None:
        """Log an error unless the Events before failed with the same one."""
        if error and error != self._last_error:
            log(error)
        self._last_error = error
