"""Brings what has changed on OPS to the clusters at once, in this process, with connections kept.

What is decided and written is delivery.py's business, as in a run. A cluster that fails, or takes long, is
left to itself until it is in sync again, so that it holds up no other one. Only the first wave is served: the
others wait for a run, which sees first how it went there.
"""

import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import UTC, datetime

from tasks.config import Cluster, SyncConfig, load_config
from tasks.connections import client_of_source
from tasks.delivery import deliver
from tasks.errors import ClusterError, defect
from tasks.inventory import examine_again, take_inventory
from tasks.models import ClusterReport, Failure, Inventory, RunReport
from tasks.order import Order, orders_for
from tasks.reasons import Code
from tasks.retry import CLUSTER_SECONDS
from tasks.watch import EVERYTHING

SIDE_BY_SIDE = 32
PATIENCE = 10.0
"""Seconds that the others wait for a cluster."""
PAUSES = (2.0, 5.0, 12.0, 30.0, 60.0)
"""Before a cluster that is left to itself is tried again; the last one ever after."""


@dataclass
class _Trouble:
    """A cluster that is left to itself."""

    attempt: int = 0
    due: float = 0.0
    at_work: Future[ClusterReport] | None = None


class Reactor:
    """One thread acts; `heal` may be called by another one."""

    def __init__(self) -> None:
        self._inventory: Inventory | None = None
        self._age = 0
        """Counts what became of the inventory, so that a slow cluster knows whether it has seen all of it."""
        self._troubled: dict[str, _Trouble] = {}
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(SIDE_BY_SIDE)

    def act(self, names: Iterable[str]) -> RunReport | None:
        """What became of it; None where no route sends any of these. Raises ConfigError.

        Where OPS could not be read the report says so, and nothing was done: ask again.
        """
        config, began = load_config(), datetime.now(UTC)
        wanted = [name for name in names if name == EVERYTHING or _is_routed(config, name)]
        if not wanted:
            return None
        certificate = wanted[0] if len(wanted) == 1 and wanted[0] != EVERYTHING else None
        inventory = self._look(config, certificate)
        clusters = [c for c in config.first_wave if certificate is None or c.routes_certificate(certificate)]
        return RunReport(
            now=datetime.now(UTC),
            certificate=certificate,
            suspended=config.suspended,
            inventory=inventory,
            clusters=self._deliver(config, clusters, inventory, certificate),
            owner=config.owner,
            configured=config.names,
            began=began,
        )

    def _look(self, config: SyncConfig, certificate: str | None) -> Inventory:
        source, now = config.source, datetime.now(UTC)
        try:
            with client_of_source(source, time.monotonic() + CLUSTER_SECONDS) as client:
                if certificate and self._inventory:
                    found = examine_again(client, source, [certificate], now)
                    inventory = self._inventory.corrected(found)
                else:
                    inventory = take_inventory(client, source, now)
        except ClusterError as error:
            return Inventory(failure=error.failure)
        with self._lock:
            self._inventory, self._age = inventory, self._age + 1
        return inventory

    def _deliver(
        self, config: SyncConfig, clusters: Iterable[Cluster], inventory: Inventory, certificate: str | None
    ) -> tuple[ClusterReport, ...]:
        orders = orders_for(config, clusters, inventory, dry_run=False, certificate=certificate)
        with self._lock:
            apart = {order.cluster.name for order in orders} & self._troubled.keys()
        running = {
            order.cluster.name: self._pool.submit(_delivered, order)
            for order in orders
            if order.cluster.name not in apart
        }
        wait(running.values(), PATIENCE)
        return tuple(
            _apart(order) if order.cluster.name in apart else self._judged(order, running[order.cluster.name])
            for order in orders
        )

    def _judged(self, order: Order, future: Future[ClusterReport]) -> ClusterReport:
        """What became of a cluster; one that isn't done, or may heal by itself, is left to itself."""
        if not future.done():
            with self._lock:
                self._troubled[order.cluster.name] = _Trouble(at_work=future)
            return _failed(order, Code.DEADLINE, "still at work; a report of its own will follow")
        report = future.result()
        if report.transient:
            with self._lock:
                self._troubled[order.cluster.name] = _Trouble(due=time.monotonic() + PAUSES[0])
        return report

    def heal(self, tell: Callable[[RunReport], None]) -> None:
        """Try each cluster again whose time has come, with all of OPS; tell of those that are done."""
        if not self.troubled:  # as a rule: this is asked every second
            return
        config = load_config()
        with self._lock:
            known = {cluster.name for cluster in config.first_wave}
            for name in self._troubled.keys() - known:
                del self._troubled[name]
            inventory, age = self._inventory, self._age
            due = [name for name, trouble in self._troubled.items() if _is_due(trouble)]
        if inventory is None or not due:
            return
        clusters = [cluster for cluster in config.clusters if cluster.name in due]
        orders = orders_for(config, clusters, inventory, dry_run=False, certificate=None)
        with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
            reports = list(pool.map(_delivered, orders))
        done = tuple(report for report in reports if self._is_over(report, age))
        if done:
            tell(
                RunReport(
                    now=datetime.now(UTC),
                    suspended=config.suspended,
                    inventory=inventory,
                    clusters=done,
                    owner=config.owner,
                    configured=config.names,
                )
            )

    def _is_over(self, report: ClusterReport, age: int) -> bool:
        """Whether a cluster goes along with the others again: only if nothing changed on OPS meanwhile."""
        with self._lock:
            trouble = self._troubled[report.cluster]
            if report.transient:
                pause = PAUSES[min(trouble.attempt + 1, len(PAUSES) - 1)]
                self._troubled[report.cluster] = _Trouble(trouble.attempt + 1, time.monotonic() + pause)
                return False
            if age != self._age:
                self._troubled[report.cluster] = _Trouble(trouble.attempt)
                return False
            del self._troubled[report.cluster]
            return True

    def close(self) -> None:
        """Wait for what is under way; tasks/stopping.py ends it."""
        self._pool.shutdown()

    @property
    def troubled(self) -> frozenset[str]:
        """Clusters that are left to themselves."""
        with self._lock:
            return frozenset(self._troubled)


def _is_routed(config: SyncConfig, name: str) -> bool:
    return any(one.routes_certificate(name) for one in config.first_wave)


def _is_due(trouble: _Trouble) -> bool:
    """What was still at work counts for nothing, whatever came of it: all is done again after it."""
    if trouble.at_work and not trouble.at_work.done():
        return False
    return trouble.due <= time.monotonic()


def _delivered(order: Order) -> ClusterReport:
    try:
        return deliver(order, time.monotonic() + CLUSTER_SECONDS)
    except Exception as error:  # noqa: BLE001  its text could hold anything, so it ends here
        failure = defect(order.cluster.name, "bring the cluster in sync", error)
        return ClusterReport(cluster=order.cluster.name, failures=(failure,))


def _apart(order: Order) -> ClusterReport:
    return _failed(
        order, Code.DEADLINE, "in trouble since earlier; it is tried apart, and gets all of it then"
    )


def _failed(order: Order, code: Code, detail: str) -> ClusterReport:
    name = order.cluster.name
    failure = Failure(
        code=code, cluster=name, what="bring the cluster in sync", detail=detail, transient=True
    )
    return ClusterReport(cluster=name, failures=(failure,))
