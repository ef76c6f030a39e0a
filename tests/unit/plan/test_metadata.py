"""The labels and annotations that a route gives to its copies are part of what drift is judged by."""

from dataclasses import replace
from typing import Any

import pytest

from tasks.config.metadata import NOTHING_GIVEN, Metadata
from tasks.config.schema import Cluster, Source
from tasks.domain import annotations
from tasks.domain.models import Action, ListedSecret, ManagedKeys, MetadataKeys, TargetSecret
from tasks.domain.reasons import Reason
from tasks.kube.target_secrets import parse_target_secret, parse_target_secrets
from tasks.plan import ownership
from tasks.plan.decide import make_plan, must_read_first
from tasks.plan.note import Rules, note_of
from tests.support.factories import (
    METADATA,
    NOW,
    PAIR,
    SOURCE_NAMESPACE,
    US,
    certificate,
    cluster,
    route,
    snapshot,
    target_secret,
)

GIVEN = Metadata(labels={"team": "web"}, annotations={"example.org/a": "1", "team": "two"})
KEYS = MetadataKeys(frozenset({"team"}), frozenset({"example.org/a", "team"}))
SOURCE = Source(namespace=SOURCE_NAMESPACE)
OWN = certificate(written="2026-02-19T12:00:00Z")
LISTED = ListedSecret(ref=OWN.ref, uid=OWN.uid, resource_version=OWN.resource_version, written=OWN.written)


def giving(metadata: Metadata = GIVEN) -> Cluster:
    return cluster(route(metadata=metadata.model_dump()))


def judged(copy: TargetSecret, to: Cluster) -> tuple[Action, Reason]:
    """The row of a copy whose certificate was read."""
    (row,) = make_plan(to, snapshot(OWN), [copy], owner=US, now=NOW).changes
    return row.action, row.reason


def noted(copy: TargetSecret, to: Cluster) -> TargetSecret:
    note = note_of(OWN, copy, Rules.of(to, SOURCE))
    return replace(copy, annotations=copy.annotations | {annotations.NOTE: note})


def is_in_sync_by_note(copy: TargetSecret, to: Cluster) -> bool:
    """Whether a list of metadata alone says that the copy is in sync."""
    rules = Rules.of(to, SOURCE)
    made = make_plan(to, snapshot(LISTED), [noted(copy, to)], owner=US, now=NOW, rules=rules)
    assert bool(made.changes) is not bool(made.unread)
    return bool(made.changes)


def test_a_copy_with_what_its_route_gives_is_in_sync() -> None:
    """Whether its certificate was read, or a note stands for that."""
    copy = target_secret(OWN, given=GIVEN)
    assert judged(copy, giving()) == (Action.KEEP, Reason.IN_SYNC)
    assert is_in_sync_by_note(copy, giving())


WRITTEN_BEFORE = {
    "the route gives something for the first time": (NOTHING_GIVEN, GIVEN),
    "it gives nothing more": (GIVEN, NOTHING_GIVEN),
    "one more key": (Metadata(labels={"team": "web"}), GIVEN),
    "one key less": (GIVEN, Metadata(labels={"team": "web"})),
    "another value of a label": (GIVEN, GIVEN.model_copy(update={"labels": {"team": "ops"}})),
    "another value of an annotation": (GIVEN, GIVEN.model_copy(update={"annotations": {"team": "x"}})),
    "a label becomes an annotation": (Metadata(labels={"a": "1"}), Metadata(annotations={"a": "1"})),
}


@pytest.mark.parametrize(("before", "now"), WRITTEN_BEFORE.values(), ids=WRITTEN_BEFORE)
def test_a_route_that_gives_something_else_updates_its_copies(before: Metadata, now: Metadata) -> None:
    """By metadata alone: no copy is read for it, and its note does not hide it."""
    copy, to = target_secret(OWN, given=before), giving(now)
    assert judged(copy, to) == (Action.UPDATE, Reason.METADATA_CHANGED)
    made = make_plan(to, snapshot(OWN), [copy], owner=US, now=NOW)
    assert must_read_first(made, {copy.ref: copy}) == ()
    assert not is_in_sync_by_note(copy, to)


def test_a_renewal_is_told_as_one() -> None:
    """Where content and metadata both differ, the row says what matters more."""
    old = target_secret(certificate(content="b2", age=70))
    assert judged(old, giving()) == (Action.UPDATE, Reason.CERTIFICATE_RENEWED)


def test_routes_that_give_a_copy_different_things_are_both_refused() -> None:
    """Where placeholders let two routes write one Secret; else the file itself is refused."""
    both = [
        route(["homarr-*"], ["homarr-dev"], "{name}", metadata=one.model_dump())
        for one in (GIVEN, NOTHING_GIVEN)
    ]
    (row,) = make_plan(cluster(*both), snapshot(OWN), [], owner=US, now=NOW).changes
    assert (row.reason, row.detail) == (Reason.TARGET_COLLISION, f"{OWN.ref.name}, by routes that differ")
    (row,) = make_plan(cluster(both[0], both[0]), snapshot(OWN), [], owner=US, now=NOW).changes
    assert row.action is Action.CREATE


def edited(**values: Any) -> TargetSecret:
    return replace(target_secret(OWN, given=GIVEN), **values)


COPY = edited()
LESS = replace(COPY.managed, ours_given=GIVEN.keys - {"labels/team"})
NO_RECORD = {key: text for key, text in COPY.annotations.items() if key != annotations.ROUTE_METADATA}
BY_OTHERS = {
    "a value was changed": edited(labels=COPY.labels | {"team": "x"}, managed=LESS),
    "a value was set by someone else, to the same": edited(managed=LESS),
    "a label was removed": edited(labels=ownership.labels("ops"), managed=LESS),
    "the record of the keys was removed": edited(
        annotations=NO_RECORD, managed=replace(COPY.managed, ours_metadata=METADATA)
    ),
    "the record of the keys was changed": edited(
        annotations=NO_RECORD | {annotations.ROUTE_METADATA: "labels/team"},
        managed=replace(COPY.managed, ours_metadata=METADATA),
    ),
}


@pytest.mark.parametrize("copy", BY_OTHERS.values(), ids=BY_OTHERS)
def test_a_copy_whose_metadata_someone_else_touched_is_drifted(copy: TargetSecret) -> None:
    """It is written again, no note hides it, and it counts as edited where its certificate is gone."""
    assert judged(copy, giving()) == (Action.UPDATE, Reason.DRIFTED)
    assert not is_in_sync_by_note(copy, giving())
    assert not ownership.is_untouched(copy)
    assert ownership.orphan_record_of(copy, US).kept == "it was edited on the target"


def test_what_others_add_changes_nothing() -> None:
    """Under keys that no route gives: they are not ours, and the copy stays as it is."""
    copy = edited(labels=COPY.labels | {"tier": "1"}, annotations=COPY.annotations | {"x": "y"})
    assert judged(copy, giving()) == (Action.KEEP, Reason.IN_SYNC)


def test_a_given_copy_counts_as_untouched_without_its_route() -> None:
    """Pruning asks whether a copy was edited when its route may be gone already."""
    assert ownership.is_untouched(COPY)
    assert ownership.orphan_record_of(COPY, US).kept == ""


def listed(**values: Any) -> dict[str, Any]:
    """The metadata of such a copy as a list shows it, with more of others."""
    labels, noted = dict(COPY.labels), dict(COPY.annotations)
    fields = {
        "f:metadata": {
            "f:labels": {f"f:{key}": {} for key in labels},
            "f:annotations": {".": {}, **{f"f:{key}": {} for key in noted}},
        },
        "f:data": {f"f:{key}": {} for key in PAIR},
    }
    canary = "-----BEGIN PRIVATE KEY-----canary"
    return {
        "namespace": COPY.ref.namespace,
        "name": COPY.ref.name,
        "uid": COPY.uid,
        "resourceVersion": COPY.resource_version,
        "labels": labels | {"example.org/a": canary, "tier": canary},
        "annotations": noted | {"tier": canary, annotations.LAST_APPLIED: canary},
        "managedFields": [{"manager": "tls-sync", "operation": "Apply", "fieldsV1": fields}],
        **values,
    }


def test_parse_takes_what_routes_give_and_nothing_else() -> None:
    """An annotation of someone else may contain a key, also one that a route gives as a label."""
    expected = replace(COPY, has_last_applied=True)
    assert parse_target_secret(listed(), annotations.SECRET_TYPE, KEYS) == expected
    table = {
        "columnDefinitions": [{"name": "Type"}],
        "rows": [{"object": {"metadata": listed()}, "cells": [annotations.SECRET_TYPE]}],
    }
    assert parse_target_secrets(table, KEYS) == [expected]


def test_without_routes_that_give_something_nothing_of_others_is_read() -> None:
    """But that our entry owns more than it would write now is seen, so the copy is updated."""
    found = parse_target_secret(listed(), annotations.SECRET_TYPE)
    assert found.labels == ownership.labels("ops")
    record = {annotations.ROUTE_METADATA: GIVEN.record}
    assert found.annotations == target_secret(OWN).annotations | record
    assert found.managed == ManagedKeys(
        ours=PAIR, ours_metadata=METADATA | {annotations.ROUTE_METADATA}, ours_given=GIVEN.keys
    )
    assert judged(found, cluster()) == (Action.UPDATE, Reason.METADATA_CHANGED)
