"""How the artifacts of many clusters are created."""

import threading
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import httpx
import pytest

from tasks.domain.models import ClusterReport
from tasks.orchestration import artifacts
from tasks.report import markdown
from tests.support.factories import run_report

COUNT = 3 * artifacts.CONCURRENCY


class Prefect:
    """In place of the client: knows the latest artifacts, and counts the requests for them."""

    def __init__(self, latest: dict[str, str]) -> None:
        self._latest, self.pages = latest, list[list[str]]()

    def read_latest_artifacts(self, *, artifact_filter: Any, limit: int) -> list[Any]:
        keys = artifact_filter.key.any_
        assert len(keys) == limit
        self.pages.append(keys)
        return [Found(key, self._latest[key]) for key in keys if key in self._latest]


class Found:
    def __init__(self, key: str, data: str) -> None:
        self.key, self.data = key, data


REPORT = run_report(*(ClusterReport(cluster=f"c{number}") for number in range(COUNT)))
TEXTS = {f"tls-sync-{one.cluster}": markdown.render_cluster(one) for one in REPORT.clusters}


@pytest.fixture
def create(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Create the artifacts of the report; return the keys of those that were written."""

    def created(prefect: Any, write: Callable[[], object] = lambda: None) -> list[str]:
        keys = []

        def note(_client: Any, key: str, *_rest: Any) -> None:
            write()
            keys.append(key)

        monkeypatch.setattr(artifacts, "get_client", lambda **_: nullcontext(prefect))
        monkeypatch.setattr(artifacts, "_create", note)
        artifacts.create_artifacts(REPORT)
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
