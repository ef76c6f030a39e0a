"""A real API server with one seat for tls-sync, by its API Priority and Fairness."""

from http import HTTPStatus
from typing import Any

import pytest

from deployments.sandbox.world.oracle import ACCOUNT
from tests.support.clusters import World
from tests.support.priority_and_fairness import QUEUES, REJECT, bystander, few_seats, listening

pytestmark = pytest.mark.apiserver

NAMES = [f"web-{number}-tls" for number in range(100)]


@pytest.mark.parametrize("response", [REJECT, QUEUES], ids=["no queue", "a small queue"])
def test_a_server_with_one_seat_gets_all_copies(world: World, response: dict[str, Any]) -> None:
    """A first sync ends complete, asks nothing again sooner than it was told to, and disturbs nobody."""
    secrets = world.issue(*NAMES)
    snapshot, server, start = world.snapshot(), world.sandbox.cluster("dev"), world.log_position("dev")
    admin = server.admin
    with few_seats(admin, ACCOUNT, response), listening(admin) as log, bystander(server) as answers:
        report = world.sync(snapshot=snapshot, seconds=120)
    assert report.ok, report.failures
    copies = {copy["metadata"]["name"]: copy["data"] for copy in admin.secrets("app-a")}
    assert copies == {secret["metadata"]["name"]: secret["data"] for secret in secrets}
    refused = [e for e in world.requests("dev", start) if e["responseStatus"]["code"] == 429]
    assert len(log.refusals) == len(refused) > 0
    assert all(one.asked >= 1 for one in log.refusals)
    assert log.too_early() == []
    written = sum(one.status == HTTPStatus.CREATED for one in log.heard)
    assert len(log.heard) <= written + len(log.refusals) + 10
    assert answers
    assert set(answers) == {HTTPStatus.CREATED}
