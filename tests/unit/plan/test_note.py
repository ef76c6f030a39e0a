"""What the note on a copy proves, and when it proves nothing."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tasks.config.schema import Cluster, Source
from tasks.domain import annotations
from tasks.domain.models import (
    Action,
    Certificate,
    ListedSecret,
    ManagedKeys,
    Plan,
    Rejection,
    SecretRef,
    TargetSecret,
)
from tasks.domain.reasons import Reason
from tasks.plan import note
from tasks.plan.decide import make_plan, with_undecided
from tasks.plan.note import Rules, changed_notes, note_of
from tasks.plan.observed import ObservedState
from tests.support.factories import (
    METADATA,
    NAME,
    NOW,
    PAIR,
    SOURCE_NAMESPACE,
    US,
    certificate,
    cluster,
    rejection,
    route,
    snapshot,
    target_secret,
)

SOURCE = Source(namespace=SOURCE_NAMESPACE)
DEV = cluster(route([NAME]))
READ = certificate(written="2026-02-19T12:00:00Z")
LISTED = ListedSecret(
    ref=READ.ref, uid=READ.uid, resource_version=READ.resource_version, written=READ.written
)


def noted(copy: TargetSecret, to: Cluster = DEV) -> TargetSecret:
    text = note_of(READ, copy, Rules.of(to, SOURCE))
    return replace(copy, annotations=copy.annotations | {annotations.NOTE: text})


COPY = noted(target_secret(READ))


def plan(
    listed: ListedSecret = LISTED, copy: TargetSecret = COPY, to: Cluster = DEV, source: Source = SOURCE
) -> Plan:
    return make_plan(to, snapshot(listed), [copy], owner=US, now=NOW, rules=Rules.of(to, source))


def read_for(found: Plan) -> set[str]:
    """Return the certificates that a plan needs to have read."""
    return {*found.unread.values()}


def test_a_note_that_agrees_proves_that_the_copy_is_in_sync() -> None:
    """The row is the one that reading the certificate would give, and nothing is to be read."""
    by_note = plan()
    (row,) = by_note.changes
    assert (row.action, row.reason, read_for(by_note)) == (Action.KEEP, Reason.IN_SYNC, set())
    read = make_plan(DEV, snapshot(READ), [COPY], owner=US, now=NOW, rules=Rules.of(DEV, SOURCE))
    assert read.changes == by_note.changes


@pytest.mark.parametrize(
    "changes",
    [
        {"resource_version": "8"},
        {"uid": "another"},
        {"written": "2026-02-19T12:00:01Z"},
        {"written": ""},
        {"uid": ""},
        {"resource_version": ""},
    ],
    ids=str,
)
def test_a_source_that_may_have_changed_is_read(changes: dict[str, Any]) -> None:
    """Also one whose resourceVersion came again after OPS was restored, or that tells no version."""
    found = plan(replace(LISTED, **changes))
    assert (found.changes, read_for(found)) == ((), {NAME})


def _annotated(**values: str) -> Callable[[TargetSecret], TargetSecret]:
    named = {f"tls-sync.io/{key.replace('_', '-')}": value for key, value in values.items()}
    return lambda copy: replace(copy, annotations=copy.annotations | named)


def _managed(**values: Any) -> Callable[[TargetSecret], TargetSecret]:
    return lambda copy: replace(copy, managed=replace(copy.managed, **values))


def _with(**values: Any) -> Callable[[TargetSecret], TargetSecret]:
    return lambda copy: replace(copy, **values)


LATE = (NOW - timedelta(seconds=1)).isoformat()


@pytest.mark.parametrize(
    "edit",
    [
        _with(annotations=target_secret(READ).annotations),
        _annotated(source_version=""),
        _annotated(source_version="spoilt"),
        _annotated(source_version=COPY.annotations[annotations.NOTE].upper()),
        _annotated(fingerprint="v1:sha256:" + "b2" * 32),
        _annotated(source=f"{SOURCE_NAMESPACE}/another"),
        _annotated(not_after=LATE),
        _annotated(not_after="soon"),
        _annotated(not_before=(NOW + timedelta(minutes=1)).isoformat()),
        _annotated(source_cluster="another"),
        _with(labels={}),
        _with(labels={}, annotations=COPY.annotations | {annotations.ADOPT: US.name}),
        _with(type="Opaque"),
        _with(immutable=True),
        _with(terminating=True),
        _with(managed_by=Reason.OWNED_BY_HELM),
        _managed(ours=PAIR | {"ca.crt"}),
        _managed(ours=frozenset({"tls.crt"})),
        _managed(ours=None),
        _managed(ours_metadata=METADATA - {annotations.FINGERPRINT}),
        _managed(others=frozenset({"extra"})),
        _managed(others=frozenset({"ca.crt"})),
    ],
)
def test_a_copy_that_was_touched_or_has_no_such_note_is_compared(
    edit: Callable[[TargetSecret], TargetSecret],
) -> None:
    """Whatever differs from a copy in sync, the certificate is read before anything is decided."""
    found = plan(copy=edit(COPY))
    assert (found.changes, read_for(found)) == ((), {NAME})


@pytest.mark.parametrize(
    ("to", "source"),
    [
        (cluster(route([NAME]), hostnames=["homarr.dev.example.org"]), SOURCE),
        (DEV, SOURCE.model_copy(update={"allow_self_signed": True})),
    ],
)
def test_a_note_ends_with_the_rules_it_was_made_under(to: Cluster, source: Source) -> None:
    """A certificate is read again where `hostnames` or what may be sent has changed."""
    assert read_for(plan(to=to, source=source)) == {NAME}


def test_stricter_checks_void_every_note(monkeypatch: pytest.MonkeyPatch) -> None:
    """A release whose checks refuse more reads each certificate once."""
    monkeypatch.setattr(note, "CHECKS_VERSION", note.CHECKS_VERSION + 1)
    assert read_for(plan()) == {NAME}


def test_an_expired_certificate_that_nobody_touched_is_read() -> None:
    """The checks then say that it has expired; a minute before, the note was enough."""
    end = READ.version.not_after
    rules = Rules.of(DEV, SOURCE)
    before, after = (
        make_plan(DEV, snapshot(LISTED), [COPY], owner=US, now=now, rules=rules)
        for now in (end - timedelta(minutes=1), end)
    )
    assert [row.reason for row in before.changes] == [Reason.IN_SYNC]
    assert read_for(after) == {NAME}


def test_a_note_on_one_copy_tells_nothing_of_another() -> None:
    """A copy without a note is compared, though another copy of the certificate has a good one."""
    there = cluster(route([NAME], ["homarr-dev", "headlamp-dev"]))
    second = target_secret(READ, namespace="headlamp-dev")
    found = make_plan(
        there,
        snapshot(LISTED),
        [noted(COPY, there), second],
        owner=US,
        now=NOW,
        rules=Rules.of(there, SOURCE),
    )
    assert [row.target.namespace for row in found.changes] == ["homarr-dev"]
    assert read_for(found) == {NAME}


def test_only_the_certificate_that_was_asked_for_is_read() -> None:
    """The others need not be, since they have no rows."""
    there = cluster(route([NAME, "other-tls"]))
    other = replace(LISTED, ref=SecretRef(namespace=SOURCE_NAMESPACE, name="other-tls"))
    found = make_plan(
        there, snapshot(LISTED, other), [], owner=US, now=NOW, certificate=NAME, rules=Rules.of(there, SOURCE)
    )
    assert read_for(found) == {NAME}


def missing(source: Certificate | Rejection, copy: TargetSecret) -> list[str | None]:
    found, rules = snapshot(source), Rules.of(DEV, SOURCE)
    made = make_plan(DEV, found, [copy], owner=US, now=NOW, rules=rules)
    return [text for _, text in changed_notes(made, found, {copy.ref: copy}, rules)]


def test_a_copy_that_was_compared_gets_its_note_once() -> None:
    """Without a note or with an old one, it gets the one that proves it in sync; with that one, none."""
    bare = target_secret(READ)
    old = noted(replace(bare, managed=ManagedKeys(ours=PAIR, ours_metadata=METADATA, written="then")))
    renewed = READ.model_copy(update={"resource_version": "8"})
    assert missing(READ, bare) == [COPY.annotations[annotations.NOTE]]
    assert missing(renewed, old) == [note_of(renewed, old, Rules.of(DEV, SOURCE))]
    assert missing(READ, COPY) == []


def test_what_was_not_compared_gets_no_note() -> None:
    """A copy that a run has yet to update, and one whose certificate can't be identified."""
    assert missing(certificate(content="b2", written=READ.written), target_secret(READ)) == []
    assert missing(READ.model_copy(update={"written": ""}), target_secret(READ)) == []
    assert missing(READ.model_copy(update={"checked": False}), target_secret(READ)) == []
    assert missing(rejection(), target_secret(READ)) == []


def test_a_refused_certificate_takes_its_note_away() -> None:
    """Or the next run would rely on the note, and call in sync what a run that verifies has refused."""
    assert missing(rejection(reason=Reason.CHAIN_ORDER), COPY) == [None]


def test_a_copy_that_is_about_to_lose_its_record_gets_its_note_later() -> None:
    """Prune clears the record of a copy under the resourceVersion that was listed."""
    marks = {annotations.ORPHANED_SINCE: NOW.isoformat(), annotations.ORPHANED_SEEN: NOW.isoformat()}
    marked = replace(target_secret(READ), annotations=target_secret(READ).annotations | marks)
    assert missing(READ, marked) == []


def test_a_note_ends_when_a_certificate_of_the_chain_expires() -> None:
    """The leaf is valid for longer, and all the same the certificate is read again then."""
    end = NOW + timedelta(days=1)
    early = READ.model_copy(update={"checked_until": end})
    bare, rules = target_secret(READ), Rules.of(DEV, SOURCE)
    copy = replace(bare, annotations=bare.annotations | {annotations.NOTE: note_of(early, bare, rules)})
    before, after = (
        make_plan(DEV, snapshot(LISTED), [copy], owner=US, now=now, rules=rules)
        for now in (end - timedelta(minutes=1), end)
    )
    assert (read_for(before), read_for(after)) == (set(), {NAME})


def test_the_time_in_a_note_can_not_be_changed() -> None:
    """A note that was made to hold for longer is another note than the one that is expected."""
    text = COPY.annotations[annotations.NOTE]
    later = text.replace(str(READ.version.not_after.year), str(READ.version.not_after.year + 1))
    assert later != text
    for forged in (later, text.replace(text.split()[1], "soon"), text.split()[0]):
        assert read_for(plan(copy=_annotated(source_version=forged)(COPY))) == {NAME}


def test_a_copy_whose_certificate_could_not_be_read_has_a_row() -> None:
    """Its row says so, and has the version that the copy holds; a Secret of others has none."""
    unread = plan(replace(LISTED, resource_version="8"))
    (row,) = with_undecided(unread, {COPY.ref: COPY}, US).changes
    assert (row.action, row.reason, row.old) == (Action.KEEP, Reason.SOURCE_UNREAD, READ.version)
    assert row.failed
    theirs = replace(COPY, labels={})
    assert with_undecided(unread, {COPY.ref: theirs}, US).changes == ()
    assert with_undecided(unread, {}, US).changes == ()


def test_nothing_is_read_for_what_could_not_be_listed() -> None:
    """Its row could not be decided anyhow."""
    observed = ObservedState()
    assert read_for(observed.only_observed(plan(replace(LISTED, uid="another")))) == set()


def test_a_note_says_which_version_it_was_compared_with() -> None:
    """A person reads the uid and the resourceVersion of the source Secret from it."""
    text, until, digest = COPY.annotations[annotations.NOTE].split()
    assert until == READ.version.not_after.isoformat()
    assert text == f"{READ.uid}/{READ.resource_version}"
    assert len(digest) == note.DIGEST_DIGITS
