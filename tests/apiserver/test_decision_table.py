"""Each row of the decision table in tasks/plan/decide.py, on a real API server."""

import base64
from datetime import UTC, datetime, timedelta

import pytest

from deployments.sandbox.world import unfit
from tasks.domain.models import Action
from tasks.domain.reasons import Reason
from tests.support.clusters import World

pytestmark = pytest.mark.apiserver

LITERAL = [{"certificates": ["web-tls"], "namespaces": ["app-a"]}]
PATH = "/api/v1/namespaces/app-a/secrets/web-tls"


def outcome(world: World) -> tuple[Action, Reason, bool]:
    row = world.row("web-tls")
    return row.action, row.reason, row.failed


def test_a_missing_copy_is_created(world: World) -> None:
    """Valid on OPS and absent on the target: it is created with exactly the data of OPS."""
    (secret,) = world.issue("web-tls", ca_crt=True)
    row = world.row("web-tls")
    assert (row.action, row.reason, row.applied) == (Action.CREATE, Reason.MISSING_ON_TARGET, True)
    copy = world.copy("web-tls")
    assert copy is not None
    assert (copy["type"], copy["data"]) == ("kubernetes.io/tls", secret["data"])


def test_a_copy_in_sync_is_kept(world: World) -> None:
    """Ours with the same content: kept, and its resourceVersion does not move."""
    world.issue("web-tls")
    world.sync()
    before = world.versions()
    assert outcome(world) == (Action.KEEP, Reason.IN_SYNC, False)
    assert world.versions() == before


def test_a_renewed_certificate_is_sent(world: World) -> None:
    """Ours with other content: replaced by OPS's in one write, the object staying the same one."""
    (secret,) = world.issue("web-tls")
    world.sync()
    before = world.copy("web-tls")
    renewed = world.renew(secret)
    assert outcome(world) == (Action.UPDATE, Reason.CERTIFICATE_RENEWED, False)
    after = world.copy("web-tls")
    assert before is not None
    assert after is not None
    assert after["data"] == renewed["data"]
    assert after["metadata"]["uid"] == before["metadata"]["uid"]


def test_another_route_under_the_same_name_replaces_what_we_sent(world: World) -> None:
    """Ours from another source, since the route has changed: replaced, even by an older certificate."""
    world.issue("young-tls")
    world.issue("old-tls", not_before=datetime.now(UTC) - timedelta(days=40))
    route = {"namespaces": ["app-a"], "name": "web-tls"}
    world.configure([{**route, "certificates": ["young-tls"]}])
    world.sync()
    world.configure([{**route, "certificates": ["old-tls"]}])
    assert outcome(world) == (Action.UPDATE, Reason.SOURCE_CHANGED, False)


def test_an_edited_copy_is_repaired(world: World) -> None:
    """Ours, edited by someone: OPS's content is put back."""
    (secret,) = world.issue("web-tls")
    world.sync()
    world.admin().patch(PATH, {"data": {"tls.key": base64.b64encode(b"oops").decode()}})
    assert outcome(world) == (Action.UPDATE, Reason.DRIFTED, False)
    copy = world.copy("web-tls")
    assert copy is not None
    assert copy["data"] == secret["data"]


def test_a_newer_certificate_put_there_by_hand_is_refused(world: World) -> None:
    """Ours, edited, and newer than OPS's: refused, and not touched."""
    (secret,) = world.issue("web-tls")
    world.sync()
    world.admin().patch(PATH, {"data": world.issuer.renew(secret)["data"]})
    before = world.versions()
    assert outcome(world) == (Action.REFUSE, Reason.WOULD_DOWNGRADE, True)
    assert world.versions() == before


def test_an_older_certificate_on_ops_is_refused(world: World) -> None:
    """Ours, newer than OPS's (which was restored from a backup): refused, and not touched."""
    (old,) = world.issue("web-tls")
    world.renew(old)
    world.sync()
    world.put(old)
    before = world.versions()
    assert outcome(world) == (Action.REFUSE, Reason.WOULD_DOWNGRADE, True)
    assert world.versions() == before


@pytest.mark.parametrize("equal", [False, True], ids=["other content", "equal content"])
def test_a_foreign_secret_is_never_changed(world: World, equal: bool) -> None:
    """Not ours: refused, even if its content is equal, and its resourceVersion does not move."""
    (secret,) = world.issue("web-tls")
    foreign = world.issuer.secret("web-tls", ["web-tls.example.org"]) | (
        {"data": secret["data"]} if equal else {}
    )
    foreign["metadata"] = {"name": "web-tls", "namespace": "app-a"}
    world.admin().create(foreign)
    before = world.versions()
    assert outcome(world) == (Action.REFUSE, Reason.OWNED_BY_OTHER, True)
    assert world.versions() == before


def test_a_copy_whose_labels_were_taken_off_is_foreign(world: World) -> None:
    """Labels taken off: it is no longer ours, so it is refused with the remedy."""
    world.issue("web-tls")
    world.sync()
    world.admin().patch(PATH, {"metadata": {"labels": None}})
    before = world.versions()
    row = world.row("web-tls")
    assert (row.action, row.reason) == (Action.REFUSE, Reason.OWNED_BY_OTHER)
    assert "tls-sync.io/adopt" in row.reason.remedy
    assert world.versions() == before


def test_a_copy_of_another_owner_is_foreign(world: World) -> None:
    """Made by a tls-sync with another owner: refused."""
    world.issue("web-tls")
    world.sync()
    world.admin().patch(PATH, {"metadata": {"labels": {"tls-sync.io/owner": "ops-2"}}})
    assert outcome(world) == (Action.REFUSE, Reason.OWNED_BY_ANOTHER_OWNER, True)


def test_a_copy_of_another_ops_is_foreign(world: World) -> None:
    """Made by a tls-sync of the same owner on another OPS: refused, and not touched."""
    world.issue("web-tls")
    world.sync()
    elsewhere = {"tls-sync.io/source-cluster": world.admin("prd").cluster_id()}
    world.admin().patch(PATH, {"metadata": {"annotations": elsewhere}})
    before = world.versions()
    assert outcome(world) == (Action.REFUSE, Reason.OWNED_BY_ANOTHER_SOURCE_CLUSTER, True)
    assert world.versions() == before


def test_an_adoption_that_would_lose_keys_is_refused(world: World) -> None:
    """Not ours, asks for us, has a key that we don't send: refused, and not touched."""
    (secret,) = world.issue("web-tls")
    metadata = {"name": "web-tls", "namespace": "app-a", "annotations": {"tls-sync.io/adopt": "ops"}}
    data = secret["data"] | {"keystore.jks": "eA=="}
    world.admin().create(
        world.issuer.secret("web-tls", ["x.example.org"]) | {"metadata": metadata, "data": data}
    )
    before = world.versions()
    assert outcome(world) == (Action.REFUSE, Reason.ADOPTION_WOULD_LOSE_KEYS, True)
    assert world.versions() == before


def test_a_copy_of_another_type_is_refused(world: World) -> None:
    """Ours by every mark, but of another type, which can't be changed: refused."""
    world.issue("web-tls")
    world.sync()
    copy = world.copy("web-tls")
    assert copy is not None
    world.admin().delete(PATH)
    kept = {key: copy["metadata"][key] for key in ("name", "namespace", "labels", "annotations")}
    opaque = {**copy, "type": "Opaque", "metadata": kept}
    world.admin().apply(PATH, opaque, "tls-sync")
    assert outcome(world) == (Action.REFUSE, Reason.TYPE_DIFFERS, True)


def test_an_immutable_copy_is_refused(world: World) -> None:
    """Ours, made immutable: refused while there is still time to act."""
    world.issue("web-tls")
    world.sync()
    world.admin().patch(PATH, {"immutable": True})
    assert outcome(world) == (Action.REFUSE, Reason.IMMUTABLE, True)


def test_a_copy_being_deleted_is_refused(world: World) -> None:
    """Ours, being deleted: refused, since a write would vanish with it."""
    world.issue("web-tls")
    world.sync()
    world.admin().patch(PATH, {"metadata": {"finalizers": ["example.org/hold"]}})
    world.admin().delete(PATH)
    assert outcome(world) == (Action.REFUSE, Reason.TERMINATING, True)


def test_a_name_that_may_not_be_sent_is_refused(world: World) -> None:
    """A DNS name outside the cluster's hostnames: refused, and nothing is written."""
    world.issue("web-tls")
    world.configure(hostnames=["*.dev.example.org"])
    assert outcome(world) == (Action.REFUSE, Reason.HOSTNAME_NOT_ALLOWED, True)
    assert world.copy("web-tls") is None


def test_the_copy_of_a_certificate_that_went_bad_is_kept(world: World) -> None:
    """Invalid on OPS, ours on the target: kept as it is, and said to be a failure."""
    world.issue("web-tls")
    world.sync()
    before = world.versions()
    world.put(unfit.mismatched_key(world.issuer, "web-tls", ["web-tls.example.org"]))
    assert outcome(world) == (Action.KEEP, Reason.KEY_MISMATCH, True)
    assert world.versions() == before


def test_a_bad_certificate_named_literally_is_a_failure(world: World) -> None:
    """Invalid on OPS, absent on the target, named by a route: nothing is made, and that is a failure."""
    world.put(unfit.expired(world.issuer, "web-tls", ["web-tls.example.org"]))
    world.configure(LITERAL)
    assert outcome(world) == (Action.NOTHING, Reason.EXPIRED, True)
    assert world.copy("web-tls") is None


def test_a_bad_certificate_found_by_a_glob_is_passed_over(world: World) -> None:
    """Invalid on OPS, absent on the target, only a glob takes it in: no row, no failure."""
    world.put(unfit.expired(world.issuer, "web-tls", ["web-tls.example.org"]))
    report = world.sync()
    assert (report.changes, report.ok) == ((), True)


@pytest.mark.parametrize("copied", [True, False], ids=["with a copy", "without a copy"])
def test_a_certificate_named_literally_must_be_on_ops(world: World, copied: bool) -> None:
    """Named by a route, not on OPS: a copy is kept, none is made, and both are failures."""
    world.configure(LITERAL)
    if copied:
        world.issue("web-tls")
        world.sync()
        world.ops.delete("/api/v1/namespaces/certificates-ops/secrets/web-tls")
    before = world.versions()
    expected = Action.KEEP if copied else Action.NOTHING
    assert outcome(world) == (expected, Reason.MISSING_ON_SOURCE, True)
    assert world.versions() == before


def test_the_copy_of_a_certificate_that_is_gone_is_kept(world: World) -> None:
    """Gone from OPS, routed by a glob: kept and reported, without a failure."""
    world.issue("web-tls")
    world.sync()
    before = world.versions()
    world.ops.delete("/api/v1/namespaces/certificates-ops/secrets/web-tls")
    assert outcome(world) == (Action.KEEP, Reason.GONE_FROM_SOURCE, False)
    assert world.versions() == before


def test_a_copy_that_is_no_longer_routed_is_kept(world: World) -> None:
    """Not routed here any more: kept and reported, without a failure."""
    world.issue("web-tls")
    world.sync()
    before = world.versions()
    world.configure([{"certificates": ["other-*"], "namespaces": ["app-a"]}])
    assert outcome(world) == (Action.KEEP, Reason.NO_LONGER_ROUTED, False)
    assert world.versions() == before


def test_a_foreign_secret_that_nothing_asks_for_is_not_mentioned(world: World) -> None:
    """Neither routed nor ours: no row at all."""
    foreign = world.issuer.secret("theirs", ["theirs.example.org"])
    foreign["metadata"]["namespace"] = "app-a"
    world.admin().create(foreign)
    assert world.sync().changes == ()
