"""Secrets of OPS that were listed are read once for all clusters of a run."""

import pickle
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from tasks.domain.errors import ClusterError
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import Failure, ListedSecret, SecretRef, SourceEntry
from tasks.plan.spec import RunMemory, SyncSpec
from tasks.target import entries
from tasks.target.entries import read_entries
from tests.support.factories import SOURCE_NAMESPACE, certificate, snapshot, unpinned_clusters

NAMES = ["a-tls", "b-tls"]
CONFIG = unpinned_clusters("dev", "rct", "prd")


class Ops:
    """Answers slowly, and notes what was read."""

    def __init__(self) -> None:
        self.read: list[str] = []
        self.failure: Failure | None = None

    def read_listed(
        self, _: object, __: object, listed: Sequence[ListedSecret], *___: Any
    ) -> dict[str, SourceEntry | None]:
        names = [one.ref.name for one in listed]
        self.read += names
        time.sleep(0.05)
        if self.failure:
            raise ClusterError(self.failure)
        return {name: certificate(name) for name in names}


@pytest.fixture
def ops(monkeypatch: pytest.MonkeyPatch) -> Ops:
    found = Ops()

    @contextmanager
    def client(*_: object) -> Iterator[None]:
        yield None

    monkeypatch.setattr(entries, "client_of_source", client)
    monkeypatch.setattr(entries, "read_listed", found.read_listed)
    return found


def listed(name: str, version: str = "7") -> ListedSecret:
    ref = SecretRef(namespace=SOURCE_NAMESPACE, name=name)
    return ListedSecret(ref=ref, uid=f"uid-of-{name}", resource_version=version, written="then")


def spec(memory: RunMemory, version: str = "7") -> SyncSpec:
    found = snapshot(*(listed(name, version) for name in NAMES))
    return SyncSpec(CONFIG, CONFIG.clusters[0], found, memory=memory)


def soon() -> float:
    return time.monotonic() + 10


def test_several_clusters_read_a_secret_once(ops: Ops) -> None:
    """Clusters that need it at the same time, and those that need it later, get what the first one found."""
    one = spec(RunMemory())
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda _: read_entries(one, NAMES, soon()), range(3)))
    assert found == [{name: certificate(name) for name in NAMES}] * 3
    assert read_entries(one, NAMES[:1], soon()) == {"a-tls": certificate("a-tls")}
    assert ops.read == NAMES


def test_a_secret_that_changed_since_is_read_again(ops: Ops) -> None:
    """A watcher lists again: what was read of another version counts no more."""
    memory = RunMemory()
    read_entries(spec(memory), NAMES, soon())
    read_entries(spec(memory, "8"), NAMES[:1], soon())
    assert ops.read == [*NAMES, "a-tls"]


def test_what_was_read_long_ago_is_read_again(ops: Ops, monkeypatch: pytest.MonkeyPatch) -> None:
    """A watcher runs for weeks, and a certificate expires without a change."""
    memory = RunMemory()
    read_entries(spec(memory), NAMES, soon())
    monkeypatch.setattr(entries, "MAX_AGE", -1.0)
    read_entries(spec(memory), NAMES[:1], soon())
    assert ops.read == [*NAMES, "a-tls"]


def test_where_reading_fails_the_next_cluster_tries_again(ops: Ops) -> None:
    """A failure is nobody's memory, and leaves no lock behind."""
    memory = RunMemory()
    ops.failure = Failure(code=FailureCode.TIMEOUT, cluster="OPS", what="get secret", transient=True)
    with pytest.raises(ClusterError):
        read_entries(spec(memory), NAMES, soon())
    ops.failure = None
    assert set(read_entries(spec(memory), NAMES, soon())) == set(NAMES)


def test_a_cluster_waits_for_another_ones_reading_until_its_deadline(ops: Ops) -> None:
    """Beyond it the cluster fails with DEADLINE, and reads nothing itself."""
    memory = RunMemory()
    with memory.reading, pytest.raises(ClusterError) as error:
        read_entries(spec(memory), NAMES, time.monotonic() + 0.01)
    assert error.value.failure.code is FailureCode.DEADLINE
    assert ops.read == []


def test_another_process_has_a_memory_of_its_own(ops: Ops) -> None:
    """A spec that goes to a worker carries neither the lock nor what was read."""
    one = spec(RunMemory())
    read_entries(one, NAMES, soon())
    there = pickle.loads(pickle.dumps(one))
    assert there.memory.entries == {}
    assert replace(there, memory=one.memory) == one
