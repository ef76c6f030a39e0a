"""How the artifacts of many clusters are created."""

import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import httpx
import pytest

from tasks.domain.models import ClusterReport
from tasks.orchestration import artifacts
from tasks.report import markdown
from tests.support.factories import NOW, failure, run_report

COUNT = 3 * artifacts.CONCURRENCY


class Prefect:
    """In place of the client: knows the latest artifacts, and counts the requests for them."""

    def __init__(self, latest: dict[str, str], updated: datetime = NOW) -> None:
        self._latest, self._updated, self.pages = latest, updated, list[list[str]]()

    def read_latest_artifacts(self, *, artifact_filter: Any, limit: int) -> list[Any]:
        keys = artifact_filter.key.any_
        assert len(keys) == limit
        self.pages.append(keys)
        return [Found(key, self._latest[key], self._updated) for key in keys if key in self._latest]


class Found(NamedTuple):
    key: str
    data: str
    updated: datetime


REPORT = run_report(*(ClusterReport(cluster=f"c{number}") for number in range(COUNT)))
TEXTS = {f"tls-sync-{one.cluster}": markdown.render_cluster(one) for one in REPORT.clusters}


@pytest.fixture
def create(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Create the artifacts of the report; return the keys of those that were written."""

    def created(
        prefect: Any, write: Callable[[], object] = lambda: None, *, everything: bool = False
    ) -> list[str]:
        keys = []

        def note(_client: Any, key: str, *_rest: Any) -> None:
            write()
            keys.append(key)

        monkeypatch.setattr(artifacts, "get_client", lambda **_: nullcontext(prefect))
        monkeypatch.setattr(artifacts, "_create", note)
        artifacts.create_artifacts(REPORT, everything=everything)
        return keys

    return created


def test_several_are_written_at_a_time(create: Callable[..., list[str]]) -> None:
    """CONCURRENCY of them: each waits until as many are being written."""
    together = threading.Barrier(artifacts.CONCURRENCY)
    prefect = Prefect(dict(list(TEXTS.items())[1 : COUNT - artifacts.CONCURRENCY + 2]))
    keys = create(prefect, lambda: together.wait(60))
    assert len(keys) == artifacts.CONCURRENCY


def test_what_is_the_latest_already_is_not_written(create: Callable[..., list[str]]) -> None:
    """Of many clusters, pages of PAGE are read, and only what differs is written, and the run's."""
    prefect = Prefect(TEXTS | {"tls-sync-c3": "another text"})
    assert sorted(create(prefect)) == ["tls-sync", "tls-sync-c3"]
    assert list(map(len, prefect.pages)) == [artifacts.PAGE, artifacts.PAGE, COUNT - 2 * artifacts.PAGE]


def test_what_is_older_than_a_day_is_written_again(create: Callable[..., list[str]]) -> None:
    """Prefect may have deleted it with its run, although it still has its text."""
    old = Prefect(TEXTS, NOW - artifacts.REPEATED_AFTER)
    assert len(create(old)) == 1 + COUNT


def test_a_record_of_the_watcher_has_all(create: Callable[..., list[str]]) -> None:
    """The history takes the clusters' results from them, and nothing is read before."""
    prefect = Prefect(TEXTS)
    assert (len(create(prefect, everything=True)), prefect.pages) == (1 + COUNT, [])


def test_after_a_failure_no_further_one_begins(create: Callable[..., list[str]]) -> None:
    """Those that are being written end; Prefect's client has waited for minutes with each."""
    begun = []

    def fail() -> None:
        begun.append(1)
        time.sleep(0.2)
        raise httpx.ConnectError("nothing answers")

    with pytest.raises(httpx.ConnectError):
        create(Prefect({}), fail)
    assert len(begun) <= 2 * artifacts.CONCURRENCY < COUNT


class Refusing:
    """In place of a server that does not say what it has."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def read_latest_artifacts(self, **_: Any) -> list[Any]:
        raise self._error


def test_where_prefect_refuses_to_tell_all_are_written(create: Callable[..., list[str]]) -> None:
    """A report that nobody could compare is not lost."""
    request = httpx.Request("POST", "http://prefect/api")
    refusal = httpx.HTTPStatusError("no", request=request, response=httpx.Response(404))
    assert sorted(create(Refusing(refusal))) == sorted(["tls-sync", *TEXTS])


def test_a_prefect_that_is_gone_is_not_asked_again(create: Callable[..., list[str]]) -> None:
    """Its client has waited for minutes already; the artifacts of clusters would wait as long."""
    with pytest.raises(httpx.ConnectError):
        create(Refusing(httpx.ConnectError("nothing answers")))


def test_descriptions_say_since_when_of_so_many_clusters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prefect is asked of MAX_LOOKUPS failed clusters when they were last in sync, and of none in sync."""
    described: dict[str, str] = {}
    count = artifacts.MAX_LOOKUPS + 1
    failed = [ClusterReport(cluster=f"c{number}", failures=(failure(),)) for number in range(count)]

    def note(_client: Any, key: str, _text: object, description: Callable[[], str]) -> None:
        described[key] = description()

    monkeypatch.setattr(artifacts, "get_client", lambda **_: nullcontext(Prefect({})))
    monkeypatch.setattr(artifacts, "_create", note)
    monkeypatch.setattr(artifacts, "last_in_sync", lambda *_: NOW - timedelta(minutes=13))
    artifacts.create_artifacts(run_report(ClusterReport(cluster="dev"), *failed))
    since = [text for text in described.values() if text.endswith(" ✗ Unreachable, last in sync 11:47 UTC")]
    assert len(since) == artifacts.MAX_LOOKUPS
    assert described["tls-sync-dev"] == "dev ✓ in sync, 0 copies"
    assert described["tls-sync"].startswith(f"✗ {count} of {count + 1} clusters failed: c0 (Unreachable), ")
