"""Clusters that write at the same time list OPS's data once, and none keeps another one waiting for long."""

import gc
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from threading import Barrier, Event, get_ident
from types import SimpleNamespace
from typing import Any

import pytest

from tasks.config.schema import Source, SyncConfig
from tasks.domain.errors import ClusterError
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import Failure
from tasks.kube.responses import name_of
from tasks.plan.spec import RunMemory, SyncSpec
from tasks.target import shared_list
from tasks.target.shared_list import End, ListGroup, Member, shared_pages
from tests.support.factories import snapshot, unpinned_clusters
from tests.support.waiting import until

PAGES, EACH, LONG = 3, 2, 20.0
ALL = [[f"web-{page}-{place}" for place in range(EACH)] for page in range(PAGES)]
NAMES = tuple(name for page in ALL for name in page)
CLUSTERS = ("dev", "rct", "prd")
CONFIG = unpinned_clusters(*CLUSTERS)
MOVED = CONFIG.source.model_copy(update={"namespace": "moved"})

Write = Callable[["Got"], None]


class Secret(dict[str, Any]):
    """One that can be watched for its end."""


class Ops:
    """Counts its lists, and how many Secrets of earlier pages are left when a page is asked for."""

    def __init__(self) -> None:
        self.secrets: list[weakref.ref[Secret]] = []
        self.lists, self.closed, self.left = 0, 0, list[int]()
        self.readers, self.sources = list[int](), list[Source]()
        self.deadlines = list[float]()
        """Of the requests."""
        self.failure: tuple[int, FailureCode] | None = None
        """The number of the page that fails, and how."""

    @contextmanager
    def client(self, source: Source, deadline: float) -> Iterator["Ops"]:
        self.sources.append(source)
        self.deadlines.append(deadline)
        try:
            yield self
        finally:
            self.closed += 1

    def set_deadline(self, deadline: float) -> None:
        self.deadlines.append(deadline)

    def alive(self) -> int:
        gc.collect()
        return sum(secret() is not None for secret in self.secrets)

    def tls_secrets(self, *_: object) -> Iterator[list[dict[str, Any]]]:
        self.lists += 1
        for number in range(PAGES):
            self.left.append(self.alive())
            self.readers.append(get_ident())
            if self.failure and self.failure[0] == number:
                raise ClusterError(Failure(code=self.failure[1], cluster="OPS", what="list secrets"))
            yield self._page(number)

    def _page(self, number: int) -> list[dict[str, Any]]:
        page = [Secret(metadata={"name": name}) for name in ALL[number]]
        self.secrets += map(weakref.ref, page)
        return list[dict[str, Any]](page)


class Got:
    """What one cluster got; `write` is called for each page, while the cluster writes it."""

    def __init__(
        self, spec: SyncSpec, write: Write, names: tuple[str, ...] = NAMES, seconds: float = 9 * LONG
    ) -> None:
        self.cluster, self.pages = spec.cluster.name, list[list[str]]()
        self.alone: tuple[str, ...] | None = None
        self.failure: FailureCode | None = None
        self.thread = get_ident()
        self.deadline = time.monotonic() + seconds
        try:
            self.alone = self._take(shared_pages(spec, names, self.deadline), write)
        except ClusterError as error:
            self.failure = error.failure.code

    @property
    def names(self) -> tuple[str, ...]:
        """Those that it got, and those that it has to read alone."""
        return (*(name for page in self.pages for name in page), *(self.alone or ()))

    def _take(self, pages: Any, write: Write) -> tuple[str, ...]:
        while True:
            try:
                page = next(pages)
            except StopIteration as end:
                return tuple(end.value)
            self.pages.append([name_of(secret) for secret in page])
            write(self)
            page.clear()


class Run:
    """Clusters that all reach the point of writing before any of them goes on."""

    def __init__(self) -> None:
        self.memory, self.two_ended = RunMemory(), Event()
        self.configs: dict[str, SyncConfig] = {}
        """Of clusters with another one than CONFIG."""
        self.seconds: dict[str, float] = {}
        """Until the deadlines of clusters that have an earlier one."""
        self._ended: list[str] = []

    def spec(self, name: str) -> SyncSpec:
        (cluster,) = [one for one in CONFIG.clusters if one.name == name]
        return SyncSpec(self.configs.get(name, CONFIG), cluster, snapshot(), memory=self.memory)

    def together(self, write: Write = lambda _: None, names: tuple[str, ...] = NAMES) -> dict[str, Got]:
        def get(name: str) -> Got:
            got = Got(self.spec(name), write, names, self.seconds.get(name, 9 * LONG))
            self._ended.append(name)
            if len(self._ended) == len(CLUSTERS) - 1:
                self.two_ended.set()
            return got

        with ExitStack() as stack, ThreadPoolExecutor(len(CLUSTERS)) as pool:
            for name in CLUSTERS:
                stack.enter_context(self.memory.gathering.expecting(name))
            return dict(zip(CLUSTERS, pool.map(get, CLUSTERS), strict=True))


@pytest.fixture
def ops(monkeypatch: pytest.MonkeyPatch) -> Ops:
    found = Ops()
    monkeypatch.setattr(shared_list, "client_of_source", found.client)
    monkeypatch.setattr(shared_list, "ARRIVAL_SECONDS", LONG)
    monkeypatch.setattr(shared_list, "PATIENCE_SECONDS", LONG)
    return found


def test_clusters_that_come_together_list_once(ops: Ops) -> None:
    """Each gets every page of one list, and has nothing left to read; the connection is closed."""
    got = Run().together()
    assert [one.pages for one in got.values()] == [ALL] * 3
    assert [one.alone for one in got.values()] == [()] * 3
    assert (ops.lists, ops.closed) == (1, 1)


def test_the_keys_of_a_page_are_gone_before_the_next_one_is_read(ops: Ops) -> None:
    """However many clusters there are, one page is in memory, and none after the last has ended."""
    run = Run()
    run.together()
    assert ops.left == [0] * PAGES
    assert ops.alive() == 0


def test_no_page_is_left_where_a_cluster_needs_no_more(ops: Ops) -> None:
    """Once all have what they need, no further page is read; nothing is kept, and the list is closed."""
    run = Run()
    got = run.together(names=tuple(ALL[0]))
    assert [one.pages for one in got.values()] == [ALL[:1]] * 3
    assert (len(ops.left), ops.alive(), ops.closed) == (1, 0, 1)


@pytest.mark.parametrize("is_reader", [True, False], ids=["that read the page", "that did not"])
def test_a_slow_cluster_reads_the_rest_alone(
    ops: Ops, monkeypatch: pytest.MonkeyPatch, is_reader: bool
) -> None:
    """A cluster whose writes hang keeps no other from its end; then it reads alone what it has not seen."""
    monkeypatch.setattr(shared_list, "PATIENCE_SECONDS", 0.01)
    slow, run = list[str](), Run()

    def write(got: Got) -> None:
        if len(got.pages) == 1 and (got.thread == ops.readers[0]) == is_reader:
            slow.append(got.cluster)
            if slow[0] == got.cluster:
                assert run.two_ended.wait(LONG)
                assert (ops.alive(), ops.closed) == (EACH, 1)  # its own page

    got = run.together(write)
    held = got.pop(slow[0])
    assert (held.pages, held.alone) == (ALL[:1], NAMES[EACH:])
    assert [one.names for one in got.values()] == [NAMES] * 2
    assert ops.lists == 1


def test_where_ops_fails_every_cluster_fails(ops: Ops) -> None:
    """A failure in the middle of the pages is in each report; what was written before stays."""
    ops.failure = (1, FailureCode.TIMEOUT)
    got = Run().together()
    assert [one.failure for one in got.values()] == [FailureCode.TIMEOUT] * 3
    assert [one.pages for one in got.values()] == [ALL[:1]] * 3
    assert (ops.lists, ops.alive()) == (1, 0)


def test_the_deadline_of_the_cluster_that_reads_is_its_own(ops: Ops) -> None:
    """The others read the rest alone, each until its own deadline."""
    ops.failure = (1, FailureCode.DEADLINE)
    got = Run().together()
    assert sorted(str(one.failure) for one in got.values()) == sorted(
        [str(FailureCode.DEADLINE), *["None"] * 2]
    )
    assert [one.alone for one in got.values() if not one.failure] == [NAMES[EACH:]] * 2


def test_each_page_is_asked_for_with_the_deadline_of_its_reader(ops: Ops) -> None:
    """A cluster that has less time left than the others ends no request of theirs."""
    got = Run().together()
    deadlines = {one.thread: one.deadline for one in got.values()}
    assert ops.deadlines[:PAGES] == [deadlines[reader] for reader in ops.readers]


def test_a_cluster_waits_for_others_until_its_own_deadline(ops: Ops, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then it goes on alone, while the writes of another one hang."""
    run, passed, groups = Run(), [0.0], list[ListGroup]()
    all_have_the_first_page = Barrier(len(CLUSTERS), timeout=LONG)
    run.seconds = dict.fromkeys(("dev", "rct"), LONG)

    def make(members: list[Member]) -> ListGroup:
        groups.append(ListGroup(members))
        return groups[0]

    def write(got: Got) -> None:
        if len(got.pages) == 1:
            all_have_the_first_page.wait()
            if got.cluster == "prd":
                passed[0] = 2 * LONG
                with groups[0]._changed:
                    groups[0]._changed.notify_all()
                assert run.two_ended.wait(LONG)

    monkeypatch.setattr(shared_list, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + passed[0]))
    monkeypatch.setattr(shared_list, "PATIENCE_SECONDS", 9 * LONG)
    monkeypatch.setattr(shared_list, "ListGroup", make)
    got = run.together(write)
    assert [got[name].alone for name in ("dev", "rct")] == [NAMES[EACH:]] * 2
    assert got["prd"].pages == ALL


def test_the_delays_of_all_pages_count_and_nothing_else(ops: Ops, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster that is slow at each page is waited for as long as one that is slow once."""
    clock, delay = [1.0], 0.6 * LONG
    monkeypatch.setattr(shared_list, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    slow, quick = (Member(CONFIG.source, 9 * LONG) for _ in range(2))
    group = ListGroup([slow, quick])

    def wait_for_slow(pool: ThreadPoolExecutor) -> Future[Any]:
        """The quick cluster waits at its next page, and the time of the delay passes."""
        page, since = pool.submit(group.next_page, quick), clock[0]
        until("it waits", lambda: group._since == since)
        clock[0] += delay
        with group._changed:
            group._changed.notify_all()
        return page

    with ThreadPoolExecutor(1) as pool:
        group.next_page(quick), group.next_page(slow)
        first = wait_for_slow(pool)
        assert group.next_page(slow) != End.ALONE
        first.result(LONG)
        clock[0] += LONG  # nobody waits
        wait_for_slow(pool).result(LONG / 2)
        assert group.next_page(slow) is End.ALONE
    assert ops.lists == 1


def test_a_cluster_that_comes_later_waits_for_no_earlier_one(ops: Ops) -> None:
    """While a group is at its first page, another cluster begins at once, and alone if no other comes."""
    run, late, lock = Run(), list[Got](), Event()

    def write(got: Got) -> None:
        if len(got.pages) == 1 and not lock.is_set():
            lock.set()
            late.append(Got(run.spec("dev"), lambda _: None))

    run.together(write)
    assert (late[0].pages, late[0].alone) == ([], NAMES)


def test_clusters_share_no_list_of_another_source(ops: Ops) -> None:
    """The watcher reads its configuration anew: what a cluster gets is from the OPS of its own."""
    run = Run()
    run.configs["prd"] = CONFIG.model_copy(update={"source": MOVED})
    got = run.together()
    assert (got["prd"].pages, got["prd"].alone) == ([], NAMES)
    assert [got[name].names for name in ("dev", "rct")] == [NAMES] * 2
    assert MOVED not in ops.sources


def test_one_cluster_alone_reads_with_its_own_client(ops: Ops) -> None:
    """Where no other is under way, all is as if there were no groups."""
    run = Run()
    got = Got(run.spec("dev"), lambda _: None)
    assert (got.pages, got.alone, ops.lists) == ([], NAMES, 0)
