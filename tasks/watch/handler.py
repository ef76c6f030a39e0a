"""Copies a change, reports the result, and queues again what could not be copied yet."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable

from tasks.domain.attempts import writes_of
from tasks.domain.errors import ConfigError
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import RunReport
from tasks.domain.reasons import Reason
from tasks.watch.publisher import Publisher, Recorder, log
from tasks.watch.reconciler import Reconciler
from tasks.watch.source_watch import RESYNC
from tasks.watch.timings import DEFAULT, WatchTimings


class ChangeHandler:
    """Several threads may call `handle`, each for names of its own, and another one `retry_failed`."""

    def __init__(
        self,
        reconciler: Reconciler,
        recorder: Recorder,
        enqueue: Callable[..., None],
        timings: WatchTimings = DEFAULT,
    ) -> None:
        """`enqueue` takes names as its arguments; `handle` is to be called with each of them again."""
        self._reconciler, self._enqueue = reconciler, enqueue
        self._publisher = Publisher(recorder, reconciler.updated)
        self._timings = timings
        self._last_error = ""
        self._lock = threading.Lock()
        self._checks: Counter[str] = Counter()
        """Certificates that are not Ready, and how often each was checked again."""

    def handle(self, name: str) -> None:
        """Copy what changed and report it, or try again later if OPS or the configuration can't be read."""
        started = time.monotonic()
        try:
            report = self._reconciler.reconcile(name)
        except ConfigError as error:
            self._log_once(str(error))
            return self._enqueue_later({name}, self._timings.config_retry)
        self._last_error = ""
        if report is None:
            return None
        if failure := report.snapshot.failure:  # if it lasts, the next run by schedule reports it, too
            log(str(failure))
            is_limit = failure.code is FailureCode.TOO_MANY
            return self._enqueue_later(
                {name}, self._timings.limit_retry if is_limit else self._timings.source_retry
            )
        if self._check_again(name, report):
            return None
        return self._publisher.publish(report, trigger(name), time.monotonic() - started)

    def retry_failed(self) -> None:
        """Retry the failed clusters that are due; report those that are done, and what is left to report."""
        try:
            self._reconciler.retry_failed(lambda report: self._publisher.publish(report, "tried again"))
        except ConfigError as error:
            self._log_once(str(error))
        self._publisher.publish_waiting()

    def write_notes(self) -> None:
        """Write the notes of what was copied, if nothing has changed for a while."""
        try:
            self._reconciler.write_notes()
        except ConfigError as error:
            self._log_once(str(error))

    def refresh(self) -> None:
        """Copy all, to all, once other clusters are announced on OPS than before."""
        try:
            if self._reconciler.refresh():
                log("the clusters that are announced on OPS have changed")
                self._enqueue(RESYNC)
        except ConfigError as error:
            self._log_once(str(error))

    def _check_again(self, name: str, report: RunReport) -> bool:
        """Queue certificates that are not Ready; return whether there is nothing to report until then.

        cert-manager writes the Secret first, and a moment later that the Certificate is Ready; the watch of
        Secrets brings no event for that.
        """
        not_ready = {one.ref.name for one in report.snapshot.rejections if one.reason is Reason.NOT_READY}
        backoff = self._timings.not_ready_backoff
        with self._lock:
            checks = self._checks
            if name == RESYNC:
                checks = self._checks = Counter({one: checks[one] for one in not_ready})
            else:
                not_ready &= {name}
                if name not in not_ready:
                    del checks[name]
            again = frozenset(one for one in not_ready if checks[one] < len(backoff))
            if not again:
                return False
            seconds = backoff[max(checks[one] for one in again)]
            checks.update(again)
        self._enqueue_later(again, seconds)
        return again == {name} and not any(writes_of(one) for one in report.clusters)

    def _enqueue_later(self, names: Iterable[str], seconds: float) -> None:
        timer = threading.Timer(seconds, self._enqueue, tuple(names))
        timer.daemon = True
        timer.start()

    def _log_once(self, error: str) -> None:
        """Log an error unless the previous attempt failed with the same one."""
        if error != self._last_error:
            log(error)
        self._last_error = error


def trigger(name: str) -> str:
    """Describe a change for people: `homarr-dev-tls changed`."""
    return "start" if name == RESYNC else f"{name} changed"
