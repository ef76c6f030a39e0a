"""The oracle finds each violation of its invariants."""

import base64
import subprocess
import sys
from contextlib import suppress

import pytest

from deployments.sandbox.clusters.rest import AdminError
from deployments.sandbox.world import invariants
from tests.support.clusters import Manifest, World

pytestmark = pytest.mark.apiserver

COPY = "/api/v1/namespaces/app-a/secrets/web-tls"


def applied(world: World, secret: Manifest) -> None:
    """The copy, with this content, written with tls-sync's token and past its code."""
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {"name": "web-tls", "labels": invariants.OURS},
        "data": secret["data"],
    }
    world.account().apply(COPY, body, "tls-sync", force=True)


def test_a_run_gives_no_cause(world: World) -> None:
    """Nothing is said against an ordinary run and one at rest."""
    (secret,) = world.issue("web-tls")
    world.add_neighbours()
    oracle = world.oracle()
    with oracle.watching("dev"):
        world.run()
    assert oracle.samples
    assert oracle.objections() + oracle.differences() == []
    assert oracle.misreported(dict.fromkeys(world.targets, ("app-a/web-tls",))) == []
    oracle.look()
    world.run()
    assert oracle.writes_tried() == []
    key = base64.b64decode(secret["data"]["tls.key"])
    assert world.shown("all is well") == set()
    assert world.shown(f"{base64.b64encode(key)!r}") == {"web-tls 0"}


def test_a_copy_that_is_no_version_of_its_own_is_found(world: World) -> None:
    """A torn copy, and one that holds another name's certificate, are seen."""
    first, second = world.issue("web-tls", "web-2-tls")
    oracle = world.oracle()
    renewed = world.renew(first)
    for data in (first["data"] | {"tls.key": renewed["data"]["tls.key"]}, second["data"]):
        oracle.look()
        applied(world, {"data": data})
        (objection,) = oracle.objections()
        assert objection == "dev app-a/web-tls is no version of OPS's web-tls"


def test_a_copy_that_goes_back_is_found(world: World) -> None:
    """An older certificate after a newer one is seen, also where a newer one follows before anybody looks."""
    (old,) = world.issue("web-tls")
    new = world.renew(old)
    applied(world, new)
    oracle = world.oracle()
    with oracle.watching("dev"):
        applied(world, old)
        before = oracle.samples
        while oracle.samples < before + 2:
            pass
        applied(world, new)
    (objection,) = oracle.objections()
    assert objection.startswith("dev app-a/web-tls went back from ")


def test_what_is_none_of_our_business_is_found(world: World) -> None:
    """A read elsewhere, another verb and a patch of another kind are seen, allowed or not."""
    world.issue("web-tls")
    world.run()
    oracle = world.oracle()
    us, elsewhere = world.account(), "/api/v1/namespaces/kube-system/secrets"
    with suppress(AdminError):
        us.get(elsewhere)
    with suppress(AdminError):
        us.delete(COPY)
    us.patch(COPY, {})
    us.get("/api/v1/namespaces/app-b/secrets")
    writes = [f"dev: {verb} {COPY}" for verb in ("delete", "patch")]
    lists = [f"dev: list {path}" for path in (elsewhere, "/api/v1/namespaces/app-b/secrets")]
    assert oracle.objections() == [lists[0], *writes, lists[1]]
    assert oracle.writes_tried() == writes


def test_a_neighbour_that_changes_is_found(world: World) -> None:
    """A foreign Secret that somebody else than the test's own hand has changed is seen."""
    world.add_neighbours()
    path = "/api/v1/namespaces/app-a/secrets/neighbour"
    oracle = world.oracle()
    world.admin().patch(path, {"metadata": {"annotations": {"tls-sync.io/adopt": "ops"}}})
    assert oracle.objections() == []
    oracle.look()
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "neighbour", "labels": invariants.OURS},
    }
    world.account().apply(path, body | {"type": "kubernetes.io/tls"}, "tls-sync", force=True)
    assert "dev app-a/neighbour is not ours and was changed" in oracle.objections()


def test_what_was_not_reported_is_found(world: World) -> None:
    """A write that no report tells of, and a report of a write that was none, are seen."""
    world.issue("web-tls")
    oracle = world.oracle()
    world.sync()
    assert oracle.misreported({"dev": ["app-a/web-tls"], "rct": []}) == []
    assert len(oracle.misreported({"dev": [], "rct": ["app-a/web-tls"]})) == 2
    assert oracle.differences() == [f"{cluster} app-a/web-tls is not there" for cluster in ("rct", "prd")]


def test_the_oracle_knows_nothing_of_the_code_that_it_judges() -> None:
    """Neither it nor any module that it uses imports tasks/ or flows/."""
    script = f"import sys, {invariants.__name__}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    loaded = set(done.stdout.split())
    assert "deployments" in loaded
    assert not {"tasks", "flows"} & loaded
