"""A good Secret on OPS whose RSA key loses one bit: the copies stay as they are, on real API servers."""

import pytest

from flows.tls_sync import tls_sync
from tasks.domain.reasons import Reason
from tasks.watch.reconciler import Reconciler
from tasks.watch.source_watch import RESYNC
from tests.apiserver.test_flow import artifacts
from tests.support.clusters import Manifest, World
from tests.support.der_writer import pem
from tests.support.written_keys import NAMES, PKCS1, certified, generated

pytestmark = pytest.mark.apiserver

PARTS = ("p", "q", "dp", "dq", "qi", "d")


def good_then_flipped(world: World) -> tuple[list[Manifest], list[Manifest]]:
    """Six certificates that are on OPS, and what is to replace them: each with one flipped bit."""
    key = generated()
    crt = certified(world.issuer, key.public)
    good, flipped = (
        [
            world.issuer.manifest(f"web-{part}-tls", NAMES, {"tls.crt": crt, "tls.key": pem(one, PKCS1)})
            for part, one in keys.items()
        ]
        for keys in (
            dict.fromkeys(PARTS, key.pkcs1),
            {part: key.flipped(part).pkcs1 for part in PARTS},
        )
    )
    for secret in good:
        world.put(secret)
    return good, flipped


def versions(world: World) -> dict[str, dict[str, str]]:
    return {cluster: world.versions(cluster) for cluster in world.targets}


@pytest.mark.usefixtures("prefect_server", "no_waiting")
def test_a_run_copies_no_flipped_key(world: World) -> None:
    """Each good copy stays byte for byte on every target, and the report names the Secret and BrokenKey."""
    good, flipped = good_then_flipped(world)
    assert tls_sync(return_state=True).is_completed()
    before = versions(world)
    for secret in flipped:
        world.put(secret)
    told = artifacts(tls_sync(return_state=True))["tls-sync"]
    assert versions(world) == before
    assert all(map(world.is_everywhere, good))
    for secret in flipped:
        lines = [line for line in told.splitlines() if secret["metadata"]["name"] in line]
        assert any("BrokenKey" in line for line in lines), lines


def test_the_watcher_copies_no_flipped_key(world: World) -> None:
    """Seen one by one and at a start, each is a rejection, and each good copy stays byte for byte."""
    good, flipped = good_then_flipped(world)
    reconciler = Reconciler()
    try:
        assert reconciler.reconcile(RESYNC)
        before = versions(world)
        for secret in flipped:
            world.put(secret)
        names = [secret["metadata"]["name"] for secret in flipped]
        for changed in (*names, RESYNC):
            report = reconciler.reconcile(changed)
            assert report
            found = {one.ref.name: one.reason for one in report.snapshot.rejections}
            assert (
                found.items()
                >= {name: Reason.BROKEN_KEY for name in names if changed in (name, RESYNC)}.items()
            )
    finally:
        reconciler.close()
    assert versions(world) == before
    assert all(map(world.is_everywhere, good))
