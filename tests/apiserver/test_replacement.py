"""What others put into a copy goes in the moment in which the new values come: a watch sees each version."""

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from flows.tls_sync import tls_sync
from tasks.domain.reasons import Reason
from tests.support.clusters import Manifest, World
from tests.support.killed import fork_killed_at_write

pytestmark = pytest.mark.apiserver

SECRETS = "/api/v1/namespaces/app-a/secrets"
PATH = f"{SECRETS}/web-tls"
STRANGE = "c3RyYW5nZQ=="


def add_ca(world: World) -> None:
    world.admin().patch(PATH, {"data": {"ca.crt": STRANGE}})


def add_keys(world: World) -> None:
    world.admin().patch(PATH, {"data": {"ca.crt": STRANGE, "keystore.jks": STRANGE}})


def add_a_key_where_ops_drops_ca(world: World) -> None:
    """Our own ca.crt has to go as well: an apply alone would take it off, a patch alone would not."""
    world.admin().patch(PATH, {"data": {"keystore.jks": STRANGE}})


def co_own_ca(world: World) -> None:
    """What another manager owns beside us outlives an apply without it."""
    copy = world.copy("web-tls")
    assert copy is not None
    body = {"apiVersion": "v1", "kind": "Secret", "type": copy["type"], "metadata": {"name": "web-tls"}}
    world.admin().apply(PATH, body | {"data": {"ca.crt": copy["data"]["ca.crt"]}}, "deployer")


def hand_over(world: World, value: str = "ops", **data: str) -> Manifest:
    """A Secret of a kubectl loop with another certificate, and a ca.crt, that asks for us."""
    annotations = {
        "tls-sync.io/adopt": value,
        "kubectl.kubernetes.io/last-applied-configuration": "{}",
        "example.org/team": "web",
    }
    loop = world.issuer.secret("web-tls", ["web-tls.example.org"], ca_crt=True)
    loop["metadata"] = {"name": "web-tls", "namespace": "app-a", "annotations": annotations}
    loop["data"] |= data
    return world.admin().create(loop)


def adopted(world: World) -> None:
    world.admin().delete(PATH)
    hand_over(world)


def adopted_with_its_keys(world: World) -> None:
    world.admin().delete(PATH)
    hand_over(world, "ops,lose-other-keys", **{"keystore.jks": STRANGE})


SITUATIONS: dict[str, tuple[bool, Callable[[World], None]]] = {
    "a foreign ca.crt": (False, add_ca),
    "several foreign keys": (False, add_keys),
    "a foreign key, and our ca.crt is to go": (True, add_a_key_where_ops_drops_ca),
    "our ca.crt is to go, and another owns it too": (True, co_own_ca),
    "an adoption": (False, adopted),
    "an adoption that may lose keys": (False, adopted_with_its_keys),
}
situations = pytest.mark.parametrize(("ca", "happen"), SITUATIONS.values(), ids=SITUATIONS)


def prepared(world: World, happen: Callable[[World], None], *, ca: bool) -> tuple[Manifest, Manifest]:
    """A copy to which this happened, and what OPS has renewed meanwhile, without a ca.crt."""
    (secret,) = world.issue("web-tls", ca_crt=ca)
    world.sync()
    happen(world)
    renewed = world.issuer.renew(secret)
    renewed["data"].pop("ca.crt", None)
    world.put(renewed)
    before = world.copy("web-tls")
    assert before is not None
    return before, renewed


def versions_since(world: World, before: Manifest) -> list[Any]:
    """The data of each version of the Secret after this one, as an independent watch has them."""
    version = before["metadata"]["resourceVersion"]
    end = world.admin().create(
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "end", "namespace": "app-a"}}
    )
    found = []
    for event in world.admin().watch(f"{SECRETS}?watch=true&resourceVersion={version}&timeoutSeconds=60"):
        about = event["object"]["metadata"]
        if about["name"] == "web-tls":
            found.append(event["object"]["data"])
        if about.get("uid") == end["metadata"]["uid"]:
            return found
    raise AssertionError("the watch ended before what it waited for")


@situations
def test_each_version_is_wholly_old_or_wholly_new(
    world: World, ca: bool, happen: Callable[[World], None]
) -> None:
    """No version of the Secret holds a value that neither side had, or a part of each."""
    before, renewed = prepared(world, happen, ca=ca)
    row = world.row("web-tls")
    assert (row.applied, row.failed) == (True, False)
    seen = versions_since(world, before)
    assert [data for data in seen if data not in (before["data"], renewed["data"])] == []
    assert seen[-1] == renewed["data"]
    assert world.row("web-tls").reason is Reason.IN_SYNC


@pytest.mark.usefixtures("prefect_server", "no_waiting")
@pytest.mark.parametrize("happen", [add_ca, add_keys])
def test_a_run_of_the_flow_replaces_wholly_too(world: World, happen: Callable[[World], None]) -> None:
    """While OPS renews, no version of a copy with foreign keys has anything but all old or all new values."""
    before, renewed = prepared(world, happen, ca=False)
    assert tls_sync(return_state=True).is_completed()
    seen = versions_since(world, before)
    assert [data for data in seen if data not in (before["data"], renewed["data"])] == []
    assert seen[-1] == renewed["data"]
    assert world.is_everywhere(renewed)


@situations
@pytest.mark.parametrize(("number", "after"), [(1, False), (1, True), (2, False), (2, True)])
def test_killed_at_either_of_the_two_requests_the_next_run_completes_it(
    world: World, ca: bool, happen: Callable[[World], None], number: int, after: bool
) -> None:
    """Between the two requests the copy is whole and ours; the next run brings it in sync."""
    before, renewed = prepared(world, happen, ca=ca)
    child = fork_killed_at_write(number, world.sync, after=after)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    between = world.copy("web-tls")
    assert between is not None
    patched = number == 2 or after
    assert between["data"] == (renewed if patched else before)["data"]
    row = world.row("web-tls")
    if patched:
        assert row.reason is (Reason.IN_SYNC if (number, after) == (2, True) else Reason.DRIFTED)
    assert row.failed is False
    assert [
        data for data in versions_since(world, before) if data not in (before["data"], renewed["data"])
    ] == []
    copy = world.copy("web-tls")
    assert copy is not None
    assert copy["data"] == renewed["data"]
    assert "tls-sync.io/adopt" not in copy["metadata"]["annotations"]
    assert world.row("web-tls").reason is Reason.IN_SYNC


def test_afterwards_nobody_but_us_owns_a_value(world: World) -> None:
    """The apply owns all that was sent; the patch, also in our name, lets go with the next renewal."""
    _, renewed = prepared(world, adopted, ca=False)
    assert world.row("web-tls").reason is Reason.ADOPTED
    copy = world.copy("web-tls")
    assert copy is not None
    assert owners_of_data(copy) == {("tls-sync", "Apply"), ("tls-sync", "Update")}
    assert copy["metadata"]["annotations"]["example.org/team"] == "web"
    world.renew(renewed)
    assert world.row("web-tls").reason is Reason.CERTIFICATE_RENEWED
    copy = world.copy("web-tls")
    assert copy is not None
    assert owners_of_data(copy) == {("tls-sync", "Apply")}


def owners_of_data(copy: Manifest) -> set[tuple[str, str]]:
    entries = copy["metadata"]["managedFields"]
    return {(e["manager"], e["operation"]) for e in entries if set(e["fieldsV1"].get("f:data", {})) - {"."}}


def test_adoption_loses_no_key_unasked(world: World) -> None:
    """The run refuses, names the keys, and changes nothing until the annotation lets them go."""
    (secret,) = world.issue("web-tls")
    hand_over(world, **{"keystore.jks": STRANGE, "tls-combined.pem": STRANGE})
    before = world.versions()
    for dry_run in (True, False):
        row = world.row("web-tls", dry_run=dry_run)
        assert (row.reason, row.failed) == (Reason.ADOPTION_WOULD_LOSE_KEYS, True)
        assert row.detail == "keystore.jks, tls-combined.pem"
    assert world.versions() == before
    world.admin().patch(PATH, {"metadata": {"annotations": {"tls-sync.io/adopt": "ops,lose-other-keys"}}})
    assert world.row("web-tls").reason is Reason.ADOPTED
    copy = world.copy("web-tls")
    assert copy is not None
    assert copy["data"] == secret["data"]


def test_keys_that_no_manager_owns_are_seen_by_adoption(world: World) -> None:
    """Where someone cleared managedFields, the data itself tells which keys there are."""
    (secret,) = world.issue("web-tls")
    hand_over(world, **{"keystore.jks": STRANGE})
    cleared = world.admin().patch(PATH, {"metadata": {"managedFields": [{}]}})
    assert not cleared["metadata"].get("managedFields")
    row = world.row("web-tls")
    assert (row.reason, row.detail) == (Reason.ADOPTION_WOULD_LOSE_KEYS, "keystore.jks")
    world.admin().patch(PATH, {"metadata": {"annotations": {"tls-sync.io/adopt": "ops,lose-other-keys"}}})
    world.admin().patch(PATH, {"metadata": {"managedFields": [{}]}})
    assert world.row("web-tls").applied
    copy = world.copy("web-tls")
    assert copy is not None
    assert copy["data"] == secret["data"]
