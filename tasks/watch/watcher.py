"""The watcher: hears of changes on OPS, has them copied, and tells of it. flows/watch.py starts it.

OPS ── watch ──▶ triggers ──▶ reactor ──▶ clusters
                                 └──▶ recorder ──▶ Prefect's history
"""

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from tasks.config.load import load_config
from tasks.config.schema import SyncConfig
from tasks.domain.attempts import writes_of
from tasks.domain.errors import ClusterError, ConfigError
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import RunReport
from tasks.domain.reasons import Reason
from tasks.kube.pool import kept
from tasks.metrics import registry
from tasks.report.verdict import run_verdict
from tasks.runtime.shutdown import begin, stop
from tasks.watch.debounce import Debouncer
from tasks.watch.health import Heartbeat, serve
from tasks.watch.lease import Lease
from tasks.watch.reactor import Reconciler
from tasks.watch.source_watch import RESYNC, Watch
from tasks.watch.timings import DEFAULT, WatchTimings, delay

REFUSALS = 3
"""A right that is missing so often in a row is not missing because OPS has just started."""
TERMINATION_LOG = Path("/dev/termination-log")


class Recorder(Protocol):
    """Who keeps a report of what was copied, and why."""

    def add(self, report: RunReport, trigger: str) -> None: ...

    def close(self, seconds: float) -> None: ...


class Watcher:
    def __init__(
        self, lease: Lease | None, port: int, recorder: Recorder, timings: WatchTimings = DEFAULT
    ) -> None:
        self._timings = timings
        self._lease = lease
        self._ended = threading.Event()
        self._why = ""
        self._said = ""
        self._looks: Counter[str] = Counter()
        """How often somebody looked at a certificate that is not Ready."""
        self.liveness = Heartbeat(timings)
        self.server = serve(port, self.liveness, registry.exposition)
        self._triggers = Debouncer(timings)
        self._reactor = Reconciler(timings)
        self._recorder = recorder

    def run(self) -> int:
        """Until told to stop, or until it is of no use; 0 or 1. Raises ConfigError."""
        load_config()
        if self._wait_for_lease():
            config = load_config()  # of now: who waits for the Lease may wait for days
            self._start(lambda: self._follow(config))
            self._start(self._keep_lease)
            healing = self._start(self._heal)
            with kept():
                for names in self._triggers.batches():
                    if not self._ended.is_set():
                        self._act(names)
            self._reactor.close()
            healing.join()
            self._heal_once()  # begins nothing any more, and tells of what was under way
        self._give_lease_back()
        self._recorder.close(self._timings.record_shutdown)
        if self._why:
            say(self._why)
            if TERMINATION_LOG.is_char_device() or TERMINATION_LOG.is_file():
                TERMINATION_LOG.write_text(self._why)
        return 1 if self._why else 0

    def _start(self, work: Callable[[], None]) -> threading.Thread:
        """In a thread of its own; without any of them, the watcher is of no use."""

        def guarded() -> None:
            try:
                work()
            except Exception as error:  # noqa: BLE001  its text could hold anything
                self.end(f"a defect of tls-sync ended the watcher ({type(error).__name__})")

        thread = threading.Thread(target=guarded, daemon=True)
        thread.start()
        return thread

    def end(self, why: str = "") -> None:
        """Nothing new begins. `why` makes it a failure."""
        self._why = self._why or why
        self._ended.set()
        self._triggers.close()
        stop()

    def _wait_for_lease(self) -> bool:
        """Whether it came to be ours before the end."""
        refusals = 0
        while self._lease and not self._ended.is_set():
            try:
                if self._lease.round():
                    say("this replica acts")
                    break
                refusals = 0
                self.liveness.sign()
            except ClusterError as error:
                refusals = self._refused(refusals, error)
            self._ended.wait(self._timings.lease_interval)
        return not self._ended.is_set()

    def _keep_lease(self) -> None:
        while self._lease and not self._ended.wait(self._timings.lease_interval):
            why = "another replica acts now"
            try:
                self._lease.round()
            except ClusterError as error:
                why = f"the Lease could not be renewed in time: {error}"
                say(str(error))
            if not self._lease.held:
                self.end(why)

    def _give_lease_back(self) -> None:
        begin()  # all that was to stop has stopped
        if self._lease and self._lease.held:
            try:
                self._lease.release()
            except ClusterError as error:
                say(f"{error}; the Lease is free in some seconds")

    def _refused(self, refusals: int, error: ClusterError) -> int:
        """Count what a right is missing for; in the end, give up and name it."""
        refusals = refusals + 1 if error.failure.code is FailureCode.FORBIDDEN else 0
        say(str(error))
        if refusals >= REFUSALS:
            self.end(str(error))
        return refusals

    def _follow(self, config: SyncConfig) -> None:
        watch = Watch(lambda: self._hear(config.owner), self._timings)
        source, refusals = config.source, 0
        while not self._ended.is_set():
            try:
                for name in watch.changes(source):
                    self._triggers.add(name)
            except ClusterError as error:
                refusals = self._refused(refusals, error)
            self._ended.wait(delay(self._timings.relist_backoff, watch.failures))
            watch.failures += 1

    def _hear(self, owner: str) -> None:
        self.liveness.sign()
        registry.heard(owner)

    def _heal(self) -> None:
        while not self._ended.wait(self._timings.retry_interval):
            self._heal_once()

    def _heal_once(self) -> None:
        try:
            self._reactor.retry_failed(lambda report: self._tell(report, "tried again"))
        except ConfigError as error:
            self._say_once(str(error))

    def _act(self, names: frozenset[str]) -> None:
        begun = time.monotonic()
        try:
            report = self._reactor.act(names)
        except ConfigError as error:
            self._say_once(str(error))
            return self._later(names, self._timings.config_retry)
        self._said = ""
        if report is None:
            return None
        if report.inventory.failure:  # said again by the next run by schedule, if it lasts
            say(str(report.inventory.failure))
            lasts = report.inventory.failure.code is FailureCode.TOO_MANY
            return self._later(names, self._timings.limit_retry if lasts else self._timings.source_retry)
        if self._look_again(names, report):
            return None
        return self._tell(report, trigger(names), time.monotonic() - begun)

    def _look_again(self, names: frozenset[str], report: RunReport) -> bool:
        """cert-manager writes a Secret first, and that it is Ready a moment later, of which no event tells.

        Whether there is nothing to be told yet.
        """
        unready = {one.ref.name for one in report.inventory.rejections if one.reason is Reason.NOT_READY}
        unready &= unready if RESYNC in names else names
        self._looks = Counter({name: self._looks[name] for name in unready | self._looks.keys() - names})
        backoff = self._timings.not_ready_backoff
        again = frozenset(name for name in unready if self._looks[name] < len(backoff))
        if not again:
            return False
        self._later(again, backoff[max(self._looks[name] for name in again)])
        self._looks.update(again)
        return again == names and not any(writes_of(one) for one in report.clusters)

    def _later(self, names: frozenset[str], seconds: float) -> None:
        timer = threading.Timer(seconds, self._triggers.add, names)
        timer.daemon = True
        timer.start()

    def _say_once(self, line: str) -> None:
        """What lasts is not said each second."""
        if line != self._said:
            say(line)
        self._said = line

    def _tell(self, report: RunReport, why: str, seconds: float | None = None) -> None:
        took = "" if seconds is None else f" ({seconds:.2f} s)"
        say(f"{why}: {run_verdict(report).message}{took}")
        registry.observe(report)
        self._recorder.add(report, why)


def trigger(names: frozenset[str]) -> str:
    """`homarr-dev-tls changed`, for people."""
    if RESYNC in names:
        return "start"
    return f"{min(names)} changed" if len(names) == 1 else f"{len(names)} certificates changed"


def say(line: str) -> None:
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {line}\n")
    sys.stdout.flush()
