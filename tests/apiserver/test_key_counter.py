"""What the counter of private keys sees of a real API server's answers."""

import pytest

from deployments.sandbox.world.cert_manager import SOURCE_NAMESPACE
from tasks.kube.client import TABLE
from tests.support.clusters import World
from tests.support.key_counter import counting_keys
from tests.unit.support.test_key_counter import through

pytestmark = pytest.mark.apiserver

PATH = f"/api/v1/namespaces/{SOURCE_NAMESPACE}/secrets"


def test_keys_are_told_from_metadata(world: World) -> None:
    """A list with data, an object and each event of a watch count; a Table of metadata does not."""
    world.issue("web-a", "web-b")
    with counting_keys(world.kubeconfig) as counter:
        client = through(world.kubeconfig, world.sandbox.cluster("ops").admin_token)

        def read(path: str) -> int:
            before = counter.keys_read
            client.get(path)
            return counter.keys_read - before

        assert [read(path) for path in (PATH, f"{PATH}/web-a", f"{PATH}?limit=1")] == [2, 1, 1]
        client._headers["Accept"] = TABLE
        assert [read(f"{PATH}?includeObject={kind}") for kind in ("Metadata", "None", "Object")] == [0, 0, 2]
        assert set(counter.keys_by_cluster) == {"cluster-ops"}


def test_a_watch_is_counted_event_by_event(world: World) -> None:
    """Events pass at once while the watch is open."""
    world.issue("web-a")
    with counting_keys(world.kubeconfig) as counter:
        client = through(world.kubeconfig, world.sandbox.cluster("ops").admin_token)
        events = client.watch(f"{PATH}?watch=true&timeoutSeconds=30")
        assert next(events)["object"]["metadata"]["name"] == "web-a"
        world.issue("web-b")
        assert next(events)["object"]["metadata"]["name"] == "web-b"
        assert counter.keys_read == 2


def test_a_run_goes_through_the_proxies(world: World) -> None:
    """A run copies as without them, and what it reads on OPS is counted there."""
    world.issue("web-a")
    with counting_keys(world.kubeconfig) as counter:
        assert all(report.ok for report in world.run().values())
    assert world.copy("web-a", "prd") is not None
    assert counter.keys_by_cluster["cluster-ops"] > 0
