"""The flow with its tasks on a real Dask cluster, whose workers are processes of their own."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect.client.schemas.objects import State

from flows.tls_sync import tls_sync
from tasks.models import RunReport
from tests.dask_cluster import DaskCluster
from tests.prefect_command import environment
from tests.world import TARGETS, Manifest, World

pytestmark = [pytest.mark.apiserver, pytest.mark.usefixtures("prefect_server", "no_waiting")]


@pytest.fixture(scope="module")
def dask(prefect_server: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    """A scheduler and two workers, which find the kubeconfig of each test at one place."""
    home = tmp_path_factory.mktemp("dask")
    given = environment(prefect_server, KUBECONFIG=str(home / "kubeconfig"))
    given.pop("TLS_SYNC_CONFIG", None)
    with DaskCluster(home, given) as cluster:
        yield cluster


@pytest.fixture
def on_dask(world: World, dask: DaskCluster) -> World:
    """The world, served by those workers."""
    place = dask.home / "kubeconfig"
    place.unlink(missing_ok=True)
    place.symlink_to(world.kubeconfig)
    choose(world, dask.address)
    return world


def choose(world: World, address: str) -> None:
    world.edit_config(lambda document: document.update(taskRunner={"type": "dask", "address": address}))


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> list[RunReport]:
    """Those of the runs of a test."""
    from flows import publication, tls_sync as module  # noqa: PLC0415

    found: list[RunReport] = []

    def publish(report: RunReport) -> None:
        found.append(report)
        publication.publish(report)

    monkeypatch.setitem(tls_sync.fn.__globals__, "publish", publish)
    return found


def run(**parameters: Any) -> State[Any]:
    return tls_sync(**parameters, return_state=True)


def test_certificates_arrive_by_way_of_several_workers(on_dask: World, dask: DaskCluster) -> None:
    """Each copy is what OPS has, byte for byte; more than one worker process had a part in it."""
    secrets = on_dask.issue("web-tls", "web-2-tls")
    state = run()
    assert (state.is_completed(), state.message) == (True, "3 clusters: create 6")
    assert all(on_dask.is_everywhere(secret) for secret in secrets)
    served = dask.served_by()
    assert all(served.values()), served
    assert run().message == "3 clusters: keep 6"
