"""Prefect's server with PostgreSQL in place of SQLite."""

import uuid
from collections.abc import Iterator

import pytest

from tests.conftest import running
from tests.e2e.machine import NAMESPACE, Machine
from tests.e2e.postgresql import PostgreSQL, postgresql
from tests.e2e.prefect_api import PrefectAPI
from tests.e2e.release import YEARLY, Release
from tests.support.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

SECRET = "tls-sync-postgresql"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
SERVER = "labelSelector=app.kubernetes.io/component%3Dserver"


@pytest.fixture
def database(machine: Machine, release: Release, prefect: PrefectAPI) -> Iterator[PostgreSQL]:
    """The release with a new PostgreSQL; at the end it has its SQLite again."""
    release.upgrade(schedule=YEARLY)
    prefect.await_rest()
    before = release.values["prefect"]
    for found in running(postgresql(str(machine.node.network.machine)), "no PostgreSQL can be had"):
        metadata = {"name": SECRET, "namespace": NAMESPACE}
        machine.ops.create(
            {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"url": found.url}}
        )
        server = {"database": {"urlSecret": {"name": SECRET}}}
        release.change(prefect={**before, "server": {**before.get("server", {}), **server}})
        yield found
        release.change(prefect=before)
        machine.ops.delete(
            f"/api/v1/namespaces/{NAMESPACE}/secrets/{SECRET}"
        )  # the last test looks for leftovers


def runs_in(database: PostgreSQL, run_id: str) -> int:
    return int(database.value(f"select count(*) from flow_run where id = '{uuid.UUID(run_id)}'"))


def test_the_history_is_in_postgresql(machine: Machine, release: Release, database: PostgreSQL) -> None:
    """A run is Completed, its row is in PostgreSQL, and the server still knows it after a new start."""
    run = release.prefect.carry_out()
    assert run.state == "Completed", run
    assert runs_in(database, run.id) == 1
    (pod,) = machine.ops.get(f"{PODS}?{SERVER}")["items"]
    machine.ops.delete(f"{PODS}/{pod['metadata']['name']}")
    until("the new server", lambda: is_replaced(machine, pod["metadata"]["uid"]))
    assert release.prefect.run(run.id).state == "Completed"


def is_replaced(machine: Machine, uid: str) -> bool:
    found = machine.ops.get(f"{PODS}?{SERVER}")["items"]
    ready = [one for one in found for status in one["status"].get("containerStatuses", ()) if status["ready"]]
    return bool(ready) and all(one["metadata"]["uid"] != uid for one in found)


def test_the_history_of_sqlite_is_as_it_was(prefect: PrefectAPI) -> None:
    """After the change back, the server has its earlier runs, as its volume stayed."""
    assert any(run.state == "Completed" for run in prefect.runs())
