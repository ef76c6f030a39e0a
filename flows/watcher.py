"""The watcher: hears of changes on OPS, has them copied, and tells of it. flows/watch.py starts it.

OPS ── watch ──▶ triggers ──▶ reactor ──▶ clusters
                                 └──▶ recorder ──▶ Prefect's history
"""

import sys
import threading
import time
from pathlib import Path

from flows.record import Recorder
from tasks import metrics
from tasks.config import load_config
from tasks.connections import kept
from tasks.errors import ClusterError, ConfigError
from tasks.lease import ROUND_SECONDS, Lease
from tasks.liveness import Liveness, serve
from tasks.models import RunReport
from tasks.react import Reactor
from tasks.reasons import Code
from tasks.report import verdict
from tasks.stopping import begin, stop
from tasks.triggers import Triggers
from tasks.watch import EVERYTHING, Watch

PAUSES = (1.0, 2.0, 5.0, 10.0, 20.0)
"""Before OPS is listed anew; the last one ever after."""
REFUSALS = 3
"""A right that is missing so often in a row is not missing because OPS has just started."""
RECORD_SECONDS = 10.0
"""For records that wait, at the end."""
TERMINATION_LOG = Path("/dev/termination-log")


class Watcher:
    def __init__(self, lease: Lease | None, port: int) -> None:
        self._lease = lease
        self._ended = threading.Event()
        self._why = ""
        self.liveness = Liveness()
        self.server = serve(port, self.liveness, metrics.exposition)
        self._triggers = Triggers()
        self._reactor = Reactor()
        self._recorder = Recorder()

    def run(self) -> int:
        """Until told to stop, or until it is of no use; 0 or 1."""
        load_config()
        if self._wait_for_lease():
            for work in (self._keep_lease, self._follow, self._heal):
                threading.Thread(target=work, name=work.__name__, daemon=True).start()
            with kept():
                for names in self._triggers.batches():
                    self._act(names)
        self._reactor.close()
        self._give_lease_back()
        self._recorder.close(RECORD_SECONDS)
        if self._why:
            say(self._why)
            if TERMINATION_LOG.is_char_device() or TERMINATION_LOG.is_file():
                TERMINATION_LOG.write_text(self._why)
        return 1 if self._why else 0

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
            self._ended.wait(ROUND_SECONDS)
        return not self._ended.is_set()

    def _keep_lease(self) -> None:
        while self._lease and not self._ended.wait(ROUND_SECONDS):
            try:
                self._lease.round()
            except ClusterError as error:
                say(str(error))
            if not self._lease.held:
                self.end("another replica acts now: the Lease could not be renewed in time")

    def _give_lease_back(self) -> None:
        begin()  # all that was to stop has stopped
        if self._lease and self._lease.held:
            try:
                self._lease.release()
            except ClusterError as error:
                say(f"{error}; the Lease is free in some seconds")

    def _refused(self, refusals: int, error: ClusterError) -> int:
        """Count what a right is missing for; in the end, give up and name it."""
        refusals = refusals + 1 if error.failure.code is Code.FORBIDDEN else 0
        say(str(error))
        if refusals >= REFUSALS:
            self.end(str(error))
        return refusals

    def _follow(self) -> None:
        config, refusals = load_config(), 0
        source, watch = config.source, Watch(lambda: self._hear(config.owner))
        while not self._ended.is_set():
            try:
                for name in watch.changes(source):
                    self._triggers.add(name)
            except ClusterError as error:
                refusals = self._refused(refusals, error)
            except Exception as error:  # noqa: BLE001  its text could hold anything
                self.end(f"a defect of tls-sync ended the watch ({type(error).__name__})")
            self._ended.wait(PAUSES[min(watch.failures, len(PAUSES) - 1)])
            watch.failures += 1

    def _hear(self, owner: str) -> None:
        self.liveness.sign()
        metrics.heard(owner)

    def _heal(self) -> None:
        while not self._ended.wait(1.0):
            try:
                self._reactor.heal(lambda report: self._tell(report, "tried again"))
            except ConfigError as error:
                say(str(error))

    def _act(self, names: frozenset[str]) -> None:
        begun = time.monotonic()
        try:
            report = self._reactor.act(names)
        except ConfigError as error:
            return say(str(error))
        if report is None:
            return None
        if report.inventory.failure:  # said again by the next run by schedule, if it lasts
            say(str(report.inventory.failure))
            return self._later(names)
        return self._tell(report, trigger(names), time.monotonic() - begun)

    def _later(self, names: frozenset[str]) -> None:
        timer = threading.Timer(PAUSES[1], self._triggers.add, names)
        timer.daemon = True
        timer.start()

    def _tell(self, report: RunReport, why: str, seconds: float | None = None) -> None:
        took = "" if seconds is None else f" ({seconds:.2f} s)"
        say(f"{why}: {verdict(report).message}{took}")
        metrics.observe(report)
        self._recorder.add(report, why)


def trigger(names: frozenset[str]) -> str:
    """`homarr-dev-tls changed`, for people."""
    if EVERYTHING in names:
        return "start"
    return f"{min(names)} changed" if len(names) == 1 else f"{len(names)} certificates changed"


def say(line: str) -> None:
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {line}\n")
    sys.stdout.flush()
