"""cert-manager's temporary certificates on real API servers: they go nowhere, and what went is replaced.

The certificates are what cert-manager's own code made; the Certificates beside them say what cert-manager's
controller was seen to say at that moment.
"""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prefect.client.schemas.objects import State

from deployments.sandbox.world import certificate_resource, unfit
from deployments.sandbox.world.cert_manager import SOURCE_NAMESPACE
from flows.tls_sync import tls_sync
from tasks.domain.models import Action
from tasks.domain.reasons import Reason
from tasks.source import checks
from tests.apiserver.test_flow import artifacts
from tests.support import recorded
from tests.support.clusters import Manifest, World
from tests.support.waiting import until
from tests.support.watcher_process import may_watch, watcher

pytestmark = [pytest.mark.apiserver, pytest.mark.timeout(600)]

NOBODY = "http://127.0.0.1:1/api"
"""In place of a Prefect server: the watcher copies without one."""


@pytest.fixture
def watching(cert_manager: World, tmp_path: Path) -> Iterator[World]:
    """OPS with cert-manager's resources, and a watcher at work."""
    (first,) = cert_manager.issue("web-first-tls")
    with may_watch(cert_manager.ops), watcher(tmp_path, PREFECT_API_URL=NOBODY):
        until("the start", lambda: cert_manager.is_everywhere(first))
        yield cert_manager


def say(world: World, certificate: Manifest, **conditions: str) -> None:
    """What cert-manager says of a Certificate: `True`, or `False` with a reason."""
    status = [
        {
            "type": kind,
            "status": told if told == "True" else "False",
            "reason": "Ready" if told == "True" else told,
            "message": "as seen",
            "lastTransitionTime": "2026-11-29T02:00:00Z",
        }
        for kind, told in conditions.items()
    ]
    certificate_resource.put(world.ops, {**certificate, "status": {"conditions": status}})


def of_issuer(world: World, name: str) -> Manifest:
    """With `kind: Issuer` the Certificate is ready as long as the temporary one lasts."""
    secret, certificate = recorded.temporary("issuer", name)
    say(world, certificate, Ready="DoesNotExist", Issuing="True")
    world.put(secret)
    say(world, certificate, Ready="True", Issuing="True")
    return secret


def of_cluster_issuer(world: World, name: str) -> Manifest:
    """With `kind: ClusterIssuer` it says that the Secret is the wrong one, but only some moments later."""
    secret, certificate = recorded.temporary("clusterIssuer", name)
    say(world, certificate, Ready="DoesNotExist", Issuing="True")
    world.put(secret)
    return secret


def left_behind(world: World, name: str) -> Manifest:
    """The Secret outlives its Certificate."""
    secret = of_issuer(world, name)
    path = f"/apis/cert-manager.io/v1/namespaces/{SOURCE_NAMESPACE}/certificates/{name}"
    world.ops.delete(path)
    return secret


Make = Callable[[World, str], Manifest]
FORMS: dict[str, Make] = {
    "an Issuer's": of_issuer,
    "a ClusterIssuer's": of_cluster_issuer,
    "one without its Certificate": left_behind,
}


def copies(world: World) -> set[str]:
    """Names of the Secrets on all targets."""
    return {name.partition("/")[2] for cluster in world.targets for name in world.versions(cluster)}


def run() -> State[Any]:
    return tls_sync(return_state=True)


@pytest.mark.usefixtures("prefect_server", "no_waiting")
@pytest.mark.parametrize("make", FORMS.values(), ids=FORMS)
def test_a_run_copies_no_temporary_certificate(cert_manager: World, make: Make) -> None:
    """A run tells of it and sends it nowhere; the real one, though backdated, arrives."""
    make(cert_manager, "web-tls")
    state = run()
    assert state.is_completed()
    assert Reason.TEMPORARY in artifacts(state)["tls-sync"]
    assert copies(cert_manager) == set()
    (real,) = cert_manager.issue("web-tls", not_before=cert_manager.issuer.now - timedelta(hours=1))
    assert run().is_completed()
    assert cert_manager.is_everywhere(real)


@pytest.mark.parametrize("make", FORMS.values(), ids=FORMS)
def test_the_watcher_copies_no_temporary_certificate(watching: World, make: Make) -> None:
    """What the watcher sees at once, before cert-manager has said a word of it, goes nowhere."""
    make(watching, "web-tls")
    (after,) = watching.issue("web-after-tls")
    until("what came after it", lambda: watching.is_everywhere(after))
    assert copies(watching) == {"web-first-tls", "web-after-tls"}
    (real,) = watching.issue("web-tls", not_before=watching.issuer.now - timedelta(hours=1))
    until("the real one", lambda: watching.is_everywhere(real))


def test_of_sixty_at_once_the_watcher_copies_none(watching: World) -> None:
    """Each comes before cert-manager says that it is the wrong one, and none reaches a target."""
    names = [f"web-{number}-tls" for number in range(60)]
    for name in names:
        secret = unfit.temporary(watching.issuer, name, [f"{name}.example.org"])
        watching.put(secret)
        unready = certificate_resource.certificate(secret, ready=False, reason="IncorrectIssuer")
        certificate_resource.put(watching.ops, unready)
    (after,) = watching.issue("web-after-tls")
    until("what came after them", lambda: watching.is_everywhere(after))
    assert copies(watching) == {"web-first-tls", "web-after-tls"}


# -- copies that an earlier version has made -------------------------------------------------------


def temporary(world: World) -> Manifest:
    return unfit.temporary(world.issuer, "web-tls", ["web-tls.example.org"])


def with_another_key(world: World) -> Manifest:
    one, other = (
        world.issuer.secret("web-tls", ["web-tls.example.org"], not_before=world.issuer.now) for _ in range(2)
    )
    one["data"]["tls.key"] = other["data"]["tls.key"]
    return one


USELESS = {"temporary": (temporary, Reason.TEMPORARY), "another key": (with_another_key, Reason.KEY_MISMATCH)}


def copied_once(world: World, secret: Manifest) -> None:
    """As by a version that did not know better."""
    world.put(secret)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checks, "CHECKS", ())
        assert all(report.ok for report in world.run().values())
    assert world.is_everywhere(secret)


def reads(world: World, since: int) -> int:
    """How many copies on dev tls-sync has read since then."""
    return sum(one["verb"] == "get" for one in world.requests("dev", since) if is_about_secrets(one))


def is_about_secrets(entry: Manifest) -> bool:
    return bool((entry.get("objectRef") or {}).get("resource") == "secrets")


@pytest.mark.parametrize(("make", "reason"), USELESS.values(), ids=USELESS)
def test_a_copy_that_is_of_no_use_is_never_newer(
    world: World, make: Callable[[World], Manifest], reason: Reason
) -> None:
    """What an earlier version has copied is replaced, though it begins later; after that all rests."""
    copied_once(world, make(world))
    (real,) = world.issue("web-tls", not_before=world.issuer.now - timedelta(hours=1))
    row = world.row("web-tls")
    assert (row.action, row.reason, row.applied) == (Action.UPDATE, Reason.CERTIFICATE_RENEWED, True)
    assert row.detail == f"the copy is unfit: {reason}"
    world.run()
    assert world.is_everywhere(real)
    position = world.log_position("dev")
    assert world.row("web-tls").reason is Reason.IN_SYNC
    assert reads(world, position) == 0


@pytest.mark.usefixtures("prefect_server", "no_waiting")
def test_a_run_replaces_a_temporary_copy(world: World) -> None:
    """The flow does so on every cluster, and is Completed."""
    copied_once(world, temporary(world))
    (real,) = world.issue("web-tls", not_before=world.issuer.now - timedelta(hours=1))
    state = run()
    assert (state.is_completed(), state.message) == (True, "3 clusters: update 3")
    assert world.is_everywhere(real)


def test_the_watcher_replaces_a_temporary_copy(world: World, tmp_path: Path) -> None:
    """The watcher replaces it with the event of the real certificate, too."""
    copied_once(world, temporary(world))
    with may_watch(world.ops), watcher(tmp_path, PREFECT_API_URL=NOBODY) as started:
        started.wait_for_output("start: ")
        (real,) = world.issue("web-tls", not_before=world.issuer.now - timedelta(hours=1))
        until("the real one", lambda: world.is_everywhere(real))


def test_a_newer_copy_that_is_fit_is_read_and_refused(world: World) -> None:
    """A good one is not replaced by an older one: it is read to be judged, once in a run."""
    (old,) = world.issue("web-tls")
    world.renew(old)
    world.sync()
    world.put(old)
    before, position = world.versions(), world.log_position("dev")
    assert world.row("web-tls").reason is Reason.WOULD_DOWNGRADE
    assert world.versions() == before
    assert reads(world, position) == 1
