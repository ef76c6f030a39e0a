"""Further keys of a certificate: which copies get them, and when a copy's are not the right ones."""

from dataclasses import replace
from typing import Any

import pytest

from tasks.config.limits import MAX_DATA_BYTES
from tasks.config.routing import Routing
from tasks.config.schema import Cluster, Source
from tasks.domain import annotations
from tasks.domain.further_keys import FURTHER_KEYS
from tasks.domain.models import (
    Action,
    Certificate,
    FurtherKey,
    ListedSecret,
    Plan,
    TargetSecret,
)
from tasks.domain.reasons import Reason
from tasks.plan import ownership
from tasks.plan.decide import make_plan, must_read_first
from tasks.plan.note import Rules, note_of
from tasks.plan.safety import UnsafePlan, ensure_safe, ensure_safe_write
from tests.support.factories import (
    METADATA,
    NOW,
    OWNER,
    PAIR,
    SOURCE_NAMESPACE,
    US,
    certificate,
    cluster,
    foreign_secret,
    route,
    snapshot,
    target_secret,
)

DER, PEM = FurtherKey(name="key.der", size=100, digest="d1"), FurtherKey(name="tls-combined.pem", digest="d2")
STORE = FurtherKey(name="keystore.p12", size=10, digest="d3")
SOURCE = Source(namespace=SOURCE_NAMESPACE)
OWN = certificate(further=(DER, STORE, PEM), size=1000, written="2026-02-19T12:00:00Z")
LISTED = ListedSecret(ref=OWN.ref, uid=OWN.uid, resource_version=OWN.resource_version, written=OWN.written)


def sending(*keys: str) -> Cluster:
    return cluster(route(keys=list(keys), unverified="keystore.p12" in keys))


def copy_with(*keys: str, source: Certificate = OWN, **values: Any) -> TargetSecret:
    """Our copy of the certificate with these keys, as a run wrote it."""
    made = target_secret(source)
    noted = ownership.annotations(source, frozenset(keys)) | ownership.source_cluster_annotation(US)
    managed = replace(
        made.managed,
        ours=PAIR | frozenset(keys),
        ours_metadata=METADATA | ({annotations.KEYS} if keys else frozenset()),
    )
    return replace(made, annotations=noted, managed=managed, **values)


def plan(copy: TargetSecret | None, to: Cluster, source: Certificate = OWN) -> Plan:
    return make_plan(to, snapshot(source), [copy] if copy else [], owner=US, now=NOW)


def judged(copy: TargetSecret | None, to: Cluster, source: Certificate = OWN) -> tuple[Action, Reason, str]:
    (row,) = plan(copy, to, source).changes
    return row.action, row.reason, row.detail


def is_in_sync_by_note(copy: TargetSecret, to: Cluster) -> bool:
    """Whether a list of metadata alone says that the copy is in sync; its note was written when it was."""
    rules = Rules.of(to, SOURCE)
    noted = replace(copy, annotations=copy.annotations | {annotations.NOTE: note_of(OWN, copy, rules)})
    made = make_plan(to, snapshot(LISTED), [noted], owner=US, now=NOW, rules=rules)
    assert bool(made.changes) is not bool(made.unread)
    return bool(made.changes)


@pytest.mark.parametrize("keys", [(), ("key.der",), ("key.der", "keystore.p12", "tls-combined.pem")], ids=str)
def test_a_copy_with_the_keys_of_its_route_is_in_sync(keys: tuple[str, ...]) -> None:
    """Whether its certificate was read, or a note stands for that."""
    assert judged(copy_with(*keys), sending(*keys)) == (Action.KEEP, Reason.IN_SYNC, "")
    assert is_in_sync_by_note(copy_with(*keys), sending(*keys))


CHANGED = {
    "the first key": ((), ("key.der",)),
    "one more": (("key.der",), ("key.der", "tls-combined.pem")),
    "one less": (("key.der", "tls-combined.pem"), ("key.der",)),
    "none any more": (("keystore.p12",), ()),
    "another": (("key.der",), ("tls-combined.pem",)),
}


@pytest.mark.parametrize(("before", "now"), CHANGED.values(), ids=CHANGED)
def test_a_route_that_sends_other_keys_updates_its_copies(
    before: tuple[str, ...], now: tuple[str, ...]
) -> None:
    """By metadata alone: no copy is read for it, and its note does not hide it."""
    copy, to = copy_with(*before), sending(*now)
    made = plan(copy, to)
    assert [(row.action, row.reason) for row in made.changes] == [(Action.UPDATE, Reason.KEYS_CHANGED)]
    assert must_read_first(made, {copy.ref: copy}) == ()
    ensure_safe(made, to, snapshot(OWN), [copy], US)
    assert not is_in_sync_by_note(copy, to)


def test_a_keystore_that_was_made_anew_is_copied() -> None:
    """cert-manager writes it with another password while the certificate stays."""
    other = OWN.model_copy(update={"further": (replace(STORE, digest="d9"),)})
    copy, to = copy_with("keystore.p12"), sending("keystore.p12")
    assert judged(copy, to, other) == (Action.UPDATE, Reason.KEYS_CHANGED, "")
    assert judged(copy_with(), sending(), other) == (Action.KEEP, Reason.IN_SYNC, "")


def test_a_renewal_is_told_as_one() -> None:
    """All keys are new then; the row says what matters more."""
    old = certificate(content="b2", age=70, further=(replace(DER, digest="d0"),))
    copy = copy_with("key.der", source=old)
    assert judged(copy, sending("key.der"))[:2] == (Action.UPDATE, Reason.CERTIFICATE_RENEWED)
    assert judged(copy, sending())[:2] == (Action.UPDATE, Reason.CERTIFICATE_RENEWED)


UNFIT = {
    "OPS has none": (("keystore.jks",), (Reason.MISSING_KEY, "keystore.jks")),
    "OPS has one of two": (("key.der", "truststore.p12"), (Reason.MISSING_KEY, "truststore.p12")),
}


@pytest.mark.parametrize(
    "there",
    [None, copy_with(), copy_with("key.der"), foreign_secret()],
    ids=["absent", "ours", "ours, with a key", "foreign"],
)
@pytest.mark.parametrize(("keys", "told"), UNFIT.values(), ids=UNFIT)
def test_a_key_that_ops_lacks_is_named(
    keys: tuple[str, ...], told: tuple[Reason, str], there: TargetSecret | None
) -> None:
    """Nothing is written: a copy has all keys of its route, or stays what it was."""
    to = cluster(route(keys=list(keys), unverified=True))
    assert judged(there, to) == (Action.REFUSE, *told)


@pytest.mark.parametrize("reason", [Reason.FORMAT_MISMATCH, Reason.INVALID_ENCODING])
def test_a_key_that_does_not_fit_keeps_its_route_alone_away(reason: Reason) -> None:
    """Routes that don't name it get the certificate as before."""
    spoilt = OWN.model_copy(update={"further": (replace(DER, fault=reason), PEM)})
    assert judged(None, sending("key.der", "tls-combined.pem"), spoilt) == (Action.REFUSE, reason, "key.der")
    assert judged(None, sending("tls-combined.pem"), spoilt)[0] is Action.CREATE
    assert judged(None, sending(), spoilt)[0] is Action.CREATE


def test_a_copy_has_a_size_that_an_api_server_takes() -> None:
    """The keys of the route count together with the certificate, and those of other routes do not."""
    large = replace(STORE, size=MAX_DATA_BYTES - OWN.size - DER.size)
    fits = OWN.model_copy(update={"further": (DER, large, PEM)})
    too_large = OWN.model_copy(update={"further": (DER, replace(large, size=large.size + 1), PEM)})
    to = sending("key.der", "keystore.p12")
    assert judged(None, to, fits)[0] is Action.CREATE
    told = f"{MAX_DATA_BYTES + 1} bytes with key.der, keystore.p12, at most {MAX_DATA_BYTES}"
    assert judged(None, to, too_large) == (Action.REFUSE, Reason.TOO_LARGE, told)
    assert judged(None, sending("keystore.p12"), too_large)[0] is Action.CREATE


COPY = copy_with("key.der")
EDITS: dict[str, dict[str, Any]] = {
    "the key was changed": {"ours": PAIR, "others": frozenset({"key.der"})},
    "the key was removed": {"ours": PAIR},
    "another key was added": {"others": frozenset({"tls-combined.pem"})},
    "what says which keys it has was changed": {"ours_metadata": METADATA},
    "our entry has a key that the metadata does not name": {"ours": PAIR | {"key.der", "keystore.p12"}},
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_an_edited_key_is_drift(edit: dict[str, Any]) -> None:
    """It is written again, no note hides it, and where its certificate is gone the copy counts as edited."""
    copy = replace(COPY, managed=replace(COPY.managed, **edit))
    assert judged(copy, sending("key.der")) == (Action.UPDATE, Reason.DRIFTED, "")
    assert not is_in_sync_by_note(copy, sending("key.der"))
    assert not ownership.is_untouched(copy)


def test_a_record_that_was_removed_is_drift() -> None:
    """Our entry then has a key that no annotation names."""
    bare = replace(
        COPY,
        annotations={key: text for key, text in COPY.annotations.items() if key != annotations.KEYS},
        managed=replace(COPY.managed, ours_metadata=METADATA),
    )
    for to in (sending("key.der"), sending()):
        assert judged(bare, to) == (Action.UPDATE, Reason.DRIFTED, "")


def test_a_copy_with_further_keys_counts_as_untouched() -> None:
    """Pruning asks whether a copy was edited when its route may be gone already."""
    assert ownership.is_untouched(COPY)
    assert ownership.orphan_record_of(COPY, US).kept == ""


def test_a_key_that_someone_else_holds_is_taken_off_where_no_route_sends_it() -> None:
    """An apply alone would leave what another manager owns, too."""
    shared = replace(COPY, managed=replace(COPY.managed, others=frozenset({"key.der"})))
    (row,) = plan(shared, sending()).changes
    assert (row.reason, row.extra_keys) == (Reason.KEYS_CHANGED, ("key.der",))
    (row,) = plan(copy_with("key.der"), sending()).changes
    assert row.extra_keys == ()


def test_an_adoption_loses_no_key_that_the_route_sends() -> None:
    """A Secret that a kubectl loop filled may have them; without `keys` they would be lost."""
    asks = foreign_secret(
        annotations={annotations.ADOPT: OWNER}, was_read=True, keys=PAIR | {"key.der", "keystore.p12"}
    )
    assert judged(asks, sending("key.der", "keystore.p12"))[:2] == (Action.UPDATE, Reason.ADOPTED)
    assert judged(asks, sending("key.der")) == (
        Action.REFUSE,
        Reason.ADOPTION_WOULD_LOSE_KEYS,
        "keystore.p12",
    )


@pytest.mark.parametrize("found", [(), (replace(DER, fault=Reason.FORMAT_MISMATCH),)], ids=["none", "unfit"])
def test_no_write_is_safe_whose_keys_are_not_fit(found: tuple[FurtherKey, ...]) -> None:
    """Checked before each write, whatever the plan says."""
    to = sending("key.der")
    (row,) = plan(None, to).changes
    ensure_safe_write(row, Routing(to), OWN, None, US)
    unfit = OWN.model_copy(update={"further": found})
    with pytest.raises(UnsafePlan, match="a key that may not be sent"):
        ensure_safe_write(row, Routing(to), unfit, None, US)


def test_what_copies_may_have_is_known() -> None:
    """A key that no version ever sends makes a copy an edited one."""
    assert annotations.SENDABLE_KEYS == annotations.COPIED_KEYS | FURTHER_KEYS
    strange = replace(COPY, managed=replace(COPY.managed, ours=PAIR | {"key.der", "x"}))
    assert judged(strange, sending("key.der"))[1] is Reason.DRIFTED
