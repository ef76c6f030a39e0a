"""docs/migration.md as it is told, with the real kubectl: from a loop's copies to ours, and back."""

import json
from collections.abc import Iterator
from threading import Event, Thread
from typing import Any

import pytest

from deployments.sandbox.world.kubeconfig import context_name
from tasks.domain.models import ClusterReport
from tasks.domain.reasons import Reason
from tests.support.cli_user import Done, Operator
from tests.support.clusters import Manifest, World

pytestmark = pytest.mark.apiserver

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
DEV = ("kubectl", f"--context={context_name('dev')}", "--namespace=app-a")


def loop(operator: Operator, secret: Manifest, *options: str, **changes: Any) -> Done:
    """What the CronJob does for one certificate and one cluster."""
    fields = {key: secret[key] for key in ("apiVersion", "kind", "type", "data")} | changes
    copy = fields | {"metadata": {"name": secret["metadata"]["name"]}}
    return operator.run(*DEV, "apply", *options, "--filename=-", stdin=json.dumps(copy))


def rows(report: ClusterReport) -> dict[str, tuple[Reason, bool]]:
    return {change.target.name: (change.reason, change.applied) for change in report.changes}


def hand_over(operator: Operator, *names: str) -> None:
    for name in names:
        assert operator.run(*DEV, "annotate", "secret", name, "tls-sync.io/adopt=ops").status == 0


@pytest.fixture
def watched(world: World) -> Iterator[list[Any]]:
    """What an application would have found under web-tls, over and over, until the test ends."""
    seen: list[Any] = []
    ended = Event()

    def watch() -> None:
        while not ended.is_set():
            if (copy := world.copy("web-tls")) or seen:
                seen.append(copy and copy["data"])

    thread = Thread(target=watch)
    thread.start()
    yield seen
    ended.set()
    thread.join()


def test_the_copies_of_a_loop_are_taken_over_without_a_gap(
    world: World, operator: Operator, watched: list[Any]
) -> None:
    """Refused, handed over, foretold, adopted, in sync: and at each moment there is a certificate."""
    same, older = world.issue("web-tls", "web-2-tls")
    for secret in (same, older):
        assert loop(operator, secret).status == 0
    renewed = world.renew(older)
    refused = world.sync(dry_run=True)
    assert rows(refused) == dict.fromkeys(("web-tls", "web-2-tls"), (Reason.OWNED_BY_OTHER, False))
    hand_over(operator, "web-tls", "web-2-tls")
    with_prune_forecast = world.sync(dry_run=True)
    assert with_prune_forecast.ok
    assert rows(with_prune_forecast) == dict.fromkeys(("web-tls", "web-2-tls"), (Reason.ADOPTED, False))
    assert rows(world.sync()) == dict.fromkeys(("web-tls", "web-2-tls"), (Reason.ADOPTED, True))
    for name, secret in (("web-tls", same), ("web-2-tls", renewed)):
        copy = world.copy(name)
        assert copy is not None
        assert copy["data"] == secret["data"]
        assert not {LAST_APPLIED, "tls-sync.io/adopt"} & set(copy["metadata"]["annotations"])
    assert rows(world.sync()) == dict.fromkeys(("web-tls", "web-2-tls"), (Reason.IN_SYNC, False))
    assert all(data == same["data"] for data in watched)
    assert watched


def test_a_copy_of_another_type_is_not_taken_over(world: World, operator: Operator) -> None:
    """A loop that made Opaque Secrets: the refusal comes from us, and nothing is changed."""
    (secret,) = world.issue("web-tls")
    assert loop(operator, secret, type="Opaque").status == 0
    hand_over(operator, "web-tls")
    before = world.versions()
    report = world.sync()
    assert rows(report) == {"web-tls": (Reason.TYPE_DIFFERS, False)}
    assert not report.ok
    assert world.versions() == before


def test_the_way_back_is_open(world: World, operator: Operator) -> None:
    """The loop writes over adopted copies; without our labels they are refused again."""
    (secret,) = world.issue("web-tls")
    loop(operator, secret)
    hand_over(operator, "web-tls")
    assert world.sync().ok
    renewed = world.renew(secret)
    assert loop(operator, renewed).status == 0
    copy = world.copy("web-tls")
    assert copy is not None
    assert copy["data"] == renewed["data"]
    labels = ("app.kubernetes.io/managed-by-", "tls-sync.io/owner-")
    assert operator.run(*DEV, "label", "secret", "web-tls", *labels).status == 0
    assert rows(world.sync()) == {"web-tls": (Reason.OWNED_BY_OTHER, False)}


def test_a_server_side_loop_needs_force_on_the_way_back(world: World, operator: Operator) -> None:
    """It meets our field manager once."""
    (secret,) = world.issue("web-tls")
    assert world.sync().ok
    renewed = world.renew(secret)
    assert loop(operator, renewed, "--server-side").status != 0
    assert loop(operator, renewed, "--server-side", "--force-conflicts").status == 0
    assert loop(operator, world.renew(renewed), "--server-side").status == 0
