"""What makes a copy ours, what shows that it was edited, and what is taken from a list."""

import json
from dataclasses import replace
from typing import Any

import pytest

from tasks.domain import annotations
from tasks.domain.models import ManagedKeys, OrphanRecord, SecretRef, TargetSecret
from tasks.domain.reasons import Reason
from tasks.kube import target_secrets
from tasks.plan import ownership
from tests.support.factories import (
    METADATA,
    NOW,
    OPS_ID,
    OWNER,
    PAIR,
    US,
    certificate,
    target_secret,
    through_json,
)

SOURCE = certificate()
TRIPLE = PAIR | {"ca.crt"}


def test_labels_and_annotations_are_those_that_are_expected_back() -> None:
    """What we write is what we look for: no annotation is written that a drift check does not know."""
    assert set(ownership.labels(OWNER)) == annotations.LABELS
    assert ownership.annotations(SOURCE) == {
        "tls-sync.io/source": "certificates-ops/homarr-dev-tls",
        "tls-sync.io/fingerprint": SOURCE.version.fingerprint,
        "tls-sync.io/not-before": "2026-02-19T12:00:00+00:00",
        "tls-sync.io/not-after": "2026-05-20T12:00:00+00:00",
        "tls-sync.io/serial": "5eed",
    }
    assert set(ownership.annotations(SOURCE)) == annotations.ANNOTATIONS
    assert ownership.source_cluster_annotation(US) == {"tls-sync.io/source-cluster": OPS_ID}
    written = {
        *ownership.labels(OWNER),
        *ownership.annotations(SOURCE),
        *ownership.source_cluster_annotation(US),
    }
    assert written == annotations.STAMPED


def test_copy_of_ours_is_ours() -> None:
    """A Secret with our labels, our source annotation and our Apply entry is ours."""
    assert ownership.is_ours(target_secret(), US)


def without(mapping: dict[str, str], key: str) -> dict[str, str]:
    return {k: v for k, v in mapping.items() if k != key}


LABELS = ownership.labels(OWNER)
NOTED = ownership.annotations(SOURCE)
ELSEWHERE = "0c2f9a52-5a4e-4f0e-9d0b-6f1f0c6f2b12"
STAMPED_ELSEWHERE = NOTED | {annotations.SOURCE_CLUSTER: ELSEWHERE}
NOT_OURS: dict[str, dict[str, Any]] = {
    "the label managed-by is gone": {"labels": without(LABELS, annotations.MANAGED_BY)},
    "the label managed-by is another's": {"labels": {**LABELS, annotations.MANAGED_BY: "Helm"}},
    "the label owner is gone": {"labels": without(LABELS, annotations.OWNER)},
    "the label owner is another OPS's": {"labels": ownership.labels("ops-2")},
    "another OPS cluster wrote it": {"annotations": STAMPED_ELSEWHERE},
    "it says that no OPS cluster wrote it": {"annotations": {**NOTED, annotations.SOURCE_CLUSTER: ""}},
    "the source annotation is gone": {"annotations": {}},
    "the source annotation is empty": {"annotations": {annotations.SOURCE: ""}},
    "there is no Apply entry of ours": {"managed": ManagedKeys(ours=None, ours_metadata=METADATA)},
}


@pytest.mark.parametrize("values", NOT_OURS.values(), ids=NOT_OURS)
def test_copy_is_foreign_when(values: dict[str, Any]) -> None:
    """One missing mark of ownership makes a Secret someone else's."""
    assert not ownership.is_ours(target_secret(**values), US)


def test_a_copy_of_a_former_ops_is_ours() -> None:
    """OPS was rebuilt, and its former uid is configured: nobody has to touch the copies."""
    heir = replace(US, former=frozenset({"x", ELSEWHERE}))
    copy = target_secret(annotations=STAMPED_ELSEWHERE)
    assert ownership.is_ours(copy, heir)
    assert not ownership.is_from_other_source_cluster(copy, heir)
    assert not ownership.is_drifted(copy, SOURCE)


def test_a_copy_without_a_stamp_is_ours_and_at_rest() -> None:
    """As an earlier version wrote it: it is not written to for the stamp's sake."""
    old = target_secret(stamped=False)
    assert annotations.SOURCE_CLUSTER not in old.annotations
    assert ownership.is_ours(old, US)
    assert not ownership.is_drifted(old, SOURCE)
    assert ownership.is_untouched(old)


def test_where_ops_is_not_known_a_stamp_says_nothing() -> None:
    """Where OPS can't be read, the inventory still tells copies from what is foreign; nothing is written."""
    unknown = replace(US, cluster_id="")
    assert ownership.is_ours(target_secret(annotations=STAMPED_ELSEWHERE), unknown)


def test_a_stamp_that_our_entry_does_not_own_is_an_edit() -> None:
    """A stamp that someone wrote by hand, or that an earlier version left behind, counts as an edit."""
    managed = ManagedKeys(ours=PAIR, ours_metadata=annotations.METADATA)
    edited = target_secret(managed=managed)
    assert ownership.is_ours(edited, US)
    assert ownership.is_drifted(edited, SOURCE)
    assert not ownership.is_untouched(edited)


def test_a_patch_that_waits_for_its_apply_is_ours_and_drifted() -> None:
    """After a run that was killed between its two requests, the next one completes the copy."""
    begun = target_secret(managed=ManagedKeys(ours=frozenset(), others=PAIR))
    assert ownership.is_ours(begun, US)
    assert ownership.is_drifted(begun, SOURCE)
    assert not ownership.is_untouched(begun)


OWN = frozenset({*METADATA})  # another object than the constant
MANAGED = {
    "pair": (ManagedKeys(ours=PAIR, ours_metadata=OWN), True),
    "pair and ca.crt": (ManagedKeys(ours=TRIPLE, ours_metadata=OWN), True),
    "the same keys, which another owns, too": (ManagedKeys(ours=PAIR, ours_metadata=OWN, others=PAIR), True),
    "a key of another": (ManagedKeys(ours=PAIR, ours_metadata=OWN, others=frozenset({"x"})), False),
    "a key that no copy has": (ManagedKeys(ours=PAIR | {"x"}, ours_metadata=OWN), False),
    "metadata that we do not write": (ManagedKeys(ours=PAIR, ours_metadata=OWN | {"x"}), False),
    "metadata less": (ManagedKeys(ours=PAIR, ours_metadata=annotations.METADATA), False),
}


@pytest.mark.parametrize(("managed", "untouched"), MANAGED.values(), ids=MANAGED)
def test_a_copy_is_untouched_with(managed: ManagedKeys, untouched: bool) -> None:
    """Only a copy whose keys and metadata are ours alone, and that has no others, may ever be deleted."""
    assert ownership.is_untouched(target_secret(annotations=stamped(), managed=managed)) is untouched


def test_a_number_of_runs_has_six_digits_at_most() -> None:
    """More digits are nobody's count of runs."""
    assert ownership.parse_count("999999") == 999_999
    with pytest.raises(ValueError, match="not a number of runs"):
        ownership.parse_count("1000000")


def test_half_of_a_record_is_not_written() -> None:
    """A copy's record has both times, or none."""
    record = OrphanRecord(since=NOW, seen=NOW, runs=3)
    assert set(ownership.orphan_annotations(record)) == annotations.ORPHAN_MARKS
    assert ownership.orphan_annotations(replace(record, since=None)) == {}
    assert ownership.orphan_annotations(replace(record, seen=None)) == {}


def stamped(**changes: str) -> dict[str, str]:
    """Return the annotations of a copy of ours as a response has them: equal texts, other objects."""
    found = ownership.annotations(SOURCE) | ownership.source_cluster_annotation(US) | changes
    decoded: dict[str, str] = json.loads(json.dumps(found))
    return decoded


def kept(**changes: str) -> str:
    return ownership.orphan_record_of(target_secret(annotations=stamped(**changes)), US).kept


def test_the_annotation_that_lets_prune() -> None:
    """`tls-sync.io/prune: "true"` keeps no copy; any other value does."""
    assert kept(**{annotations.PRUNE: "true"}) == kept() == ""
    for other in ("", "True", "false", "trua", "truf", "yes"):
        assert kept(**{annotations.PRUNE: other}) == f'its annotation {annotations.PRUNE} is not "true"'


@pytest.mark.parametrize("uid", ["", "0" * 36, "f" * 36])
def test_a_copy_of_another_ops_cluster_is_kept(uid: str) -> None:
    """Only the OPS cluster that wrote a copy can tell that its certificate is gone."""
    assert kept(**{annotations.SOURCE_CLUSTER: uid}) == "it came from a former OPS cluster"


def test_texts_of_a_response_are_compared_by_value() -> None:
    """Labels and managed fields are equal to ours, and other objects."""
    labels = json.loads(json.dumps(LABELS))
    copy = target_secret(annotations=stamped(), managed=ManagedKeys(ours=PAIR, ours_metadata=OWN))
    assert not ownership.is_drifted(copy, SOURCE)
    foreign = target_secret(labels=labels, annotations=stamped(**{annotations.SOURCE_CLUSTER: ELSEWHERE}))
    assert ownership.is_from_other_source_cluster(foreign, US)


@pytest.mark.parametrize(
    ("noted", "told"),
    [
        (ELSEWHERE, f"OPS cluster {ELSEWHERE}"),
        ("\x1b[2J", "tls-sync.io/source-cluster is no uid"),
        ("x" * 70000, "tls-sync.io/source-cluster is no uid"),
    ],
    ids=["a uid", "control characters", "endless"],
)
def test_the_other_ops_is_named_only_by_its_uid(noted: str, told: str) -> None:
    """Anyone on the target may write the annotation, and a report shows no text of that sort."""
    assert (
        ownership.describe_source_cluster(target_secret(annotations={annotations.SOURCE_CLUSTER: noted}))
        == told
    )


@pytest.mark.parametrize(
    ("asked", "keys", "lost"),
    [
        ("ops", PAIR | {"ca.crt"}, frozenset()),
        ("ops", PAIR | {"a", "b"}, {"a", "b"}),
        ("ops,lose-other-keys", PAIR | {"a"}, frozenset()),
        ("ops-2,lose-other-keys", PAIR | {"a"}, {"a"}),
        ("ops, lose-other-keys", PAIR | {"a"}, {"a"}),
    ],
)
def test_adoption_loses_only_what_may_go(asked: str, keys: frozenset[str], lost: frozenset[str]) -> None:
    """Keys that we send are not lost; any other key needs the exact annotation on the target."""
    foreign = target_secret(labels={}, annotations={annotations.ADOPT: asked}, was_read=True, keys=keys)
    assert ownership.keys_to_lose(foreign, US) == lost
    assert ownership.keys_to_lose(target_secret(keys=keys), US) == frozenset()


def test_what_another_ops_wrote_is_not_adopted() -> None:
    """A copy that another OPS wrote can be adopted only once its owner label is removed."""
    asks = STAMPED_ELSEWHERE | {annotations.ADOPT: OWNER}
    assert not ownership.may_adopt(target_secret(annotations=asks), US)
    assert ownership.may_adopt(target_secret(annotations=asks, labels={}), US)


DRIFTED = {
    "our entry lacks tls.crt": ManagedKeys(ours=frozenset({"tls.key"}), ours_metadata=METADATA),
    "our entry lacks tls.key": ManagedKeys(ours=frozenset({"tls.crt"}), ours_metadata=METADATA),
    "our entry is empty": ManagedKeys(ours=frozenset(), ours_metadata=METADATA),
    "there is no entry of ours": ManagedKeys(ours=None, ours_metadata=METADATA),
    "our entry has a key that never travels": ManagedKeys(ours=PAIR | {"x"}, ours_metadata=METADATA),
    "another manager added a key": ManagedKeys(ours=PAIR, ours_metadata=METADATA, others=frozenset({"x"})),
    "another manager added a key to all of ours": ManagedKeys(
        ours=PAIR, ours_metadata=METADATA, others=PAIR | {"x"}
    ),
    "another manager took a key over": ManagedKeys(
        ours=frozenset({"tls.crt"}), ours_metadata=METADATA, others=frozenset({"tls.key"})
    ),
    "a label of ours was touched": ManagedKeys(ours=PAIR, ours_metadata=METADATA - {annotations.OWNER}),
    "an annotation of ours was touched": ManagedKeys(
        ours=PAIR, ours_metadata=METADATA - {annotations.SERIAL}
    ),
    "our entry has metadata that we never write": ManagedKeys(ours=PAIR, ours_metadata=METADATA | {"x"}),
}


@pytest.mark.parametrize("managed", DRIFTED.values(), ids=DRIFTED)
def test_copy_is_drifted_when(managed: ManagedKeys) -> None:
    """Each trace that an edit leaves in managedFields makes a copy drifted."""
    assert ownership.is_drifted(target_secret(managed=managed), SOURCE)


@pytest.mark.parametrize("ours", [frozenset({"tls.crt"}), frozenset({"tls.key"}), PAIR | {"x"}], ids=sorted)
def test_an_older_copy_is_drifted_when_our_entry_is_no_pair(ours: frozenset[str]) -> None:
    """A copy of other content, too, shows that a key was taken from it or added in our name."""
    edited = target_secret(certificate(content="b2"), managed=ManagedKeys(ours=ours, ours_metadata=METADATA))
    assert ownership.is_drifted(edited, SOURCE)


def test_copy_is_drifted_when_its_ca_was_taken_over() -> None:
    """All keys that were sent count, ca.crt too."""
    source = certificate(keys=("ca.crt", "tls.crt", "tls.key"))
    edited = target_secret(source, managed=ManagedKeys(ours=PAIR, ours_metadata=METADATA))
    assert ownership.is_drifted(edited, source)


def test_copy_is_drifted_when_we_claimed_a_key_and_never_dropped_it() -> None:
    """A repair that broke off between its two writes leaves a key that OPS does not have: it goes on."""
    claimed = target_secret(managed=ManagedKeys(ours=TRIPLE, ours_metadata=METADATA))
    assert ownership.is_drifted(claimed, SOURCE)


CLEAN = {
    "nobody touched it": target_secret(),
    "another manager co-owns a value of ours": target_secret(
        managed=ManagedKeys(ours=PAIR, ours_metadata=METADATA, others=frozenset({"tls.crt"}))
    ),
    "another manager co-owns all of them": target_secret(
        managed=ManagedKeys(ours=PAIR, ours_metadata=METADATA, others=PAIR)
    ),
    "it holds an older version that had a ca.crt": target_secret(
        certificate(content="b2"), managed=ManagedKeys(ours=TRIPLE, ours_metadata=METADATA)
    ),
}


@pytest.mark.parametrize("secret", CLEAN.values(), ids=CLEAN)
def test_copy_is_not_drifted_when(secret: TargetSecret) -> None:
    """A copy whose values are still ours is not drifted."""
    assert not ownership.is_drifted(secret, SOURCE)


def test_copy_is_not_drifted_when_the_source_gained_a_ca() -> None:
    """A key that the renewal brings along was never on the copy, so nobody took it off."""
    source = certificate(content="b2", keys=("ca.crt", "tls.crt", "tls.key"))
    assert not ownership.is_drifted(target_secret(certificate()), source)


def fields(**groups: list[str]) -> dict[str, Any]:
    """`fieldsV1` in the form that the API server writes."""
    metadata: dict[str, Any] = {
        f"f:{group}": {f"f:{k}": {} for k in groups.pop(group, [])} for group in ("labels", "annotations")
    }
    return {
        "f:metadata": metadata,
        **{f"f:{g}": {".": {}, **{f"f:{k}": {} for k in ks}} for g, ks in groups.items()},
    }


def listed(**values: Any) -> dict[str, Any]:
    """The metadata of a copy as a list shows it."""
    noted = sorted(annotations.STAMPED - annotations.LABELS)
    apply = fields(labels=sorted(annotations.LABELS), annotations=noted, data=sorted(PAIR))
    metadata = {
        "namespace": "homarr-dev",
        "name": "homarr-dev-tls",
        "uid": "uid-of-copy",
        "resourceVersion": "41",
        "labels": dict(LABELS),
        "annotations": ownership.annotations(SOURCE) | ownership.source_cluster_annotation(US),
        "managedFields": [{"manager": "tls-sync", "operation": "Apply", "fieldsV1": apply}],
        **values,
    }
    return from_a_server(metadata)


def from_a_server(metadata: dict[str, Any]) -> dict[str, Any]:
    """As it is after a journey as JSON: equal texts are not the same object any more."""
    parsed: dict[str, Any] = json.loads(json.dumps(metadata))
    return parsed


def test_parse_takes_a_copy_of_ours() -> None:
    """A copy that we wrote is read back as the copy that we wrote."""
    assert target_secrets.parse_target_secret(listed(), annotations.SECRET_TYPE) == target_secret()


def test_copies_of_a_certificate_share_what_is_alike() -> None:
    """A run has fifty clusters' lists: what is the same on all of them is in memory once."""
    one, other = (
        target_secrets.parse_target_secret(listed(uid=uid), annotations.SECRET_TYPE) for uid in "12"
    )
    assert one != other
    for shared in ("labels", "annotations", "type"):
        assert getattr(one, shared) is getattr(other, shared)
    assert one.ref.name is other.ref.name
    assert one.ref.namespace is other.ref.namespace
    assert one.managed.ours is other.managed.ours
    assert one.managed.ours_metadata is other.managed.ours_metadata


def test_parse_drops_what_is_foreign() -> None:
    """A foreign label or annotation, which can hold a private key, is nowhere in the model."""
    canary = "-----BEGIN PRIVATE KEY-----canary"
    metadata = listed(
        labels={**LABELS, "team": canary},
        annotations={
            **ownership.annotations(SOURCE),
            **ownership.source_cluster_annotation(US),
            "kubectl.kubernetes.io/last-applied-configuration": canary,
        },
        ownerReferences=[{"name": canary}],
        finalizers=[canary],
    )
    expected = target_secret(has_last_applied=True)
    assert target_secrets.parse_target_secret(metadata, annotations.SECRET_TYPE) == expected


def test_parse_keeps_the_wish_to_be_adopted() -> None:
    """The annotation by which the target side hands a Secret over is read, and heeded for its owner alone."""
    metadata = listed(labels={}, annotations={annotations.ADOPT: OWNER})
    parsed = target_secrets.parse_target_secret(metadata, annotations.SECRET_TYPE)
    assert ownership.may_adopt(parsed, US)
    assert not ownership.may_adopt(parsed, replace(US, name="ops-2"))


def test_parse_tells_another_owners_copy() -> None:
    """A Secret with our managed-by and another owner is that owner's copy."""
    parsed = target_secrets.parse_target_secret(
        listed(labels=ownership.labels("ops-2")), annotations.SECRET_TYPE
    )
    assert ownership.has_other_owner(parsed, US)
    assert not ownership.has_other_owner(parsed, replace(US, name="ops-2"))


def test_parse_takes_a_bare_secret() -> None:
    """A Secret without labels, annotations and managedFields is foreign, not an error."""
    bare = {"namespace": "homarr-dev", "name": "x", "uid": "u", "resourceVersion": "1"}
    expected = TargetSecret(
        ref=SecretRef(namespace="homarr-dev", name="x"), uid="u", resource_version="1", type="Opaque"
    )
    assert target_secrets.parse_target_secret(bare, "Opaque") == expected


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        pytest.param(
            {"manager": "kubectl-edit", "operation": "Update"},
            ManagedKeys(others=PAIR),
            id="another manager's Update",
        ),
        pytest.param(
            {"manager": "helm", "operation": "Apply"}, ManagedKeys(others=PAIR), id="another's Apply"
        ),
        pytest.param(
            {"manager": "tls-sync-prune", "operation": "Apply"},
            ManagedKeys(others=PAIR),
            id="the Apply of a manager with a longer name",
        ),
        pytest.param(
            {"manager": "tls-sync", "operation": "Update"},
            ManagedKeys(ours=frozenset(), others=PAIR),
            id="a patch of ours",
        ),
        pytest.param({"manager": "tls-sync", "operation": "Apply"}, ManagedKeys(ours=PAIR), id="our Apply"),
    ],
)
def test_parse_tells_our_entry_from_others(entry: dict[str, str], expected: ManagedKeys) -> None:
    """Only an Apply of the manager tls-sync owns keys for us; a patch says that one has to follow."""
    metadata = listed(managedFields=[{**entry, "fieldsV1": fields(data=sorted(PAIR))}])
    assert target_secrets.parse_target_secret(metadata, "t").managed == expected


def test_parse_adds_up_what_others_own() -> None:
    """The keys of all other managers count together."""
    entries = [
        {"manager": "one", "operation": "Update", "fieldsV1": fields(data=["a"])},
        {"manager": "two", "operation": "Update", "fieldsV1": fields(data=["b"])},
        {"manager": "three", "operation": "Update"},
    ]
    parsed = target_secrets.parse_target_secret(listed(managedFields=entries), "t")
    assert parsed.managed == ManagedKeys(others=frozenset({"a", "b"}))


def test_parse_sees_the_field_immutable() -> None:
    """Whoever set `immutable`, managedFields shows it."""
    entries = [{"manager": "kubectl", "operation": "Update", "fieldsV1": {"f:immutable": {}}}]
    assert target_secrets.parse_target_secret(listed(managedFields=entries), "t").immutable


def test_parse_sees_a_deletion() -> None:
    """A Secret with a deletionTimestamp is terminating."""
    assert target_secrets.parse_target_secret(
        listed(deletionTimestamp="2026-03-01T12:00:00Z"), "t"
    ).terminating


def table(*rows: dict[str, Any]) -> dict[str, Any]:
    return {
        "columnDefinitions": [{"name": title} for title in ("Name", "Type", "Data", "Age")],
        "rows": [
            {"cells": [row["name"], "kubernetes.io/tls", 2, "5d"], "object": {"metadata": row}}
            for row in rows
        ],
    }


def test_parse_table_takes_the_type_from_its_column() -> None:
    """Each row of a Table is one Secret, its type found by the column's title."""
    other = target_secret(name="other")
    parsed = target_secrets.parse_target_secrets(table(listed(), listed(name="other")))
    assert parsed == [target_secret(), other]


def test_copies_of_a_certificate_share_what_is_equal() -> None:
    """50 clusters with 1,000 copies each have one set of annotations and one Version per certificate."""
    one, other = target_secrets.parse_target_secrets(table(listed(), listed(namespace="other", uid="u2")))
    assert one.labels is other.labels
    assert one.annotations is other.annotations
    assert one.managed.ours_metadata is other.managed.ours_metadata
    assert ownership.written_version(one) is ownership.written_version(other)


@pytest.mark.parametrize("rows", [[], None])
def test_parse_table_takes_an_empty_list(rows: list[Any] | None) -> None:
    """A namespace without Secrets is an empty list, however the server writes it."""
    assert target_secrets.parse_target_secrets({**table(), "rows": rows}) == []


MALFORMED: dict[str, dict[str, Any]] = {
    "no columns": {"rows": []},
    "no column Type": {"columnDefinitions": [{"name": "Name"}], "rows": []},
    "rows that are a number": {**table(), "rows": 5},
}
UNREADABLE: dict[str, object] = {
    "it has no cells": {"object": {"metadata": listed()}},
    "it has too few cells": {"cells": ["a"], "object": {"metadata": listed()}},
    "its uid is a mapping": table(listed(uid={"x": 1}))["rows"][0],
    "a label is a list": table(listed(labels={annotations.OWNER: ["canary"]}))["rows"][0],
    "its managedFields are a text": table(listed(managedFields="canary"))["rows"][0],
    "its fieldsV1 are a text": table(listed(managedFields=[{"fieldsV1": "canary"}]))["rows"][0],
}
NAMELESS: dict[str, object] = {
    "it has no object": {"cells": ["a", "b"]},
    "it is a list": [],
    "its name is a number": table(listed(name=5))["rows"][0],
    "its name is none": table({**listed(name="../x"), "uid": 5})["rows"][0],
    "its namespace is a list": table(listed(namespace=["canary"]))["rows"][0],
}


@pytest.mark.parametrize("row", UNREADABLE.values(), ids=UNREADABLE)
def test_a_row_costs_itself_when(row: object) -> None:
    """What can't be read of one Secret hides no other: it is there, is not ours, and stays untouched."""
    other = listed(name="other")
    found = target_secrets.parse_target_secrets({**table(other), "rows": [row, *table(other)["rows"]]})
    assert [one.ref.name for one in found] == [target_secret().ref.name, "other"]
    assert (found[0].managed_by, found[1].managed_by) == (Reason.UNREADABLE, None)
    assert not ownership.is_ours(found[0], US)
    assert not ownership.may_adopt(found[0], US)


@pytest.mark.parametrize("row", NAMELESS.values(), ids=NAMELESS)
def test_a_row_is_none_when(row: object) -> None:
    """A row that names no Secret is left out: a write to what it may mean ends with a conflict."""
    other = table(listed(name="other"))["rows"]
    (found,) = target_secrets.parse_target_secrets({**table(), "rows": [row, *other]})
    assert found.ref.name == "other"


@pytest.mark.parametrize("answer", MALFORMED.values(), ids=MALFORMED)
def test_parse_table_raises_when_malformed(answer: dict[str, Any]) -> None:
    """An answer that is not a Table of Secrets is an error that its caller knows, and quotes no value."""
    known = (AttributeError, IndexError, KeyError, TypeError, ValueError)
    with pytest.raises(known) as error:
        target_secrets.parse_target_secrets(answer)
    assert "canary" not in str(error.value)


def test_parse_survives_json() -> None:
    """What is kept of a list can be written as JSON and read back unchanged."""
    parsed = target_secrets.parse_target_secret(json.loads(json.dumps(listed())), annotations.SECRET_TYPE)
    assert through_json(parsed) == parsed


def holder(data_writer: str = "kubectl", **values: Any) -> Reason | None:
    """Who holds a Secret whose data this manager wrote, with this further metadata."""
    entry = {"manager": data_writer, "operation": "Update", "fieldsV1": fields(data=["tls.crt"])}
    return target_secrets.find_foreign_manager(from_a_server({"managedFields": [entry], **values}))


HELD = [
    (Reason.OWNED_BY_CERT_MANAGER, "cert-manager-certificates-issuing", {}),
    (Reason.OWNED_BY_CERT_MANAGER, "kubectl", {"annotations": {"cert-manager.io/certificate-name": "x"}}),
    (Reason.OWNED_BY_HELM, "helm", {}),
    (Reason.OWNED_BY_HELM, "kubectl", {"labels": {annotations.MANAGED_BY: "Helm"}}),
    (Reason.OWNED_BY_HELM, "kubectl", {"annotations": {"meta.helm.sh/release-name": "x"}}),
    (Reason.OWNED_BY_ARGO_CD, "argocd-controller", {}),
    (Reason.OWNED_BY_ARGO_CD, "kubectl", {"annotations": {"argocd.argoproj.io/tracking-id": "x"}}),
    (Reason.OWNED_BY_ARGO_CD, "kubectl", {"labels": {"argocd.argoproj.io/instance": "x"}}),
    (Reason.OWNED_BY_FLUX, "kustomize-controller", {}),
    (Reason.OWNED_BY_FLUX, "helm-controller", {}),
    (Reason.OWNED_BY_FLUX, "kubectl", {"labels": {"kustomize.toolkit.fluxcd.io/name": "x"}}),
    (Reason.OWNED_BY_CONTROLLER, "kubectl", {"ownerReferences": [{"controller": True}]}),
]


@pytest.mark.parametrize(("reason", "writer", "values"), HELD)
def test_holder_is_known_by_its_writes_and_its_marks(
    reason: Reason, writer: str, values: dict[str, Any]
) -> None:
    """Each tool that people run is told by the manager that writes the data, or by what it leaves."""
    assert holder(writer, **values) is reason


def test_holder_is_none_where_nothing_shows_one() -> None:
    """A person with kubectl, or an ownerReference of something that does not control it, is no holder."""
    assert holder() is None
    assert holder(ownerReferences=[{"controller": False}, {}]) is None
    assert holder("kubectl-helm") is None


def test_marks_do_not_make_our_copy_someone_elses() -> None:
    """Marks on a copy of ours, or on one to be adopted, are leftovers; a writer of its data is not."""
    mark = {"cert-manager.io/certificate-name": "x"}
    assert holder(labels=LABELS, annotations=mark) is None
    assert holder(annotations={**mark, annotations.ADOPT: OWNER}) is None
    asked = {annotations.ADOPT: OWNER}
    assert holder("cert-manager", labels=LABELS, annotations=asked) is Reason.OWNED_BY_CERT_MANAGER


def test_a_writer_of_metadata_alone_holds_nothing() -> None:
    """Argo CD, Helm and others may label a Secret without writing its data."""
    entry = {"manager": "argocd-controller", "operation": "Apply", "fieldsV1": {"f:metadata": {}}}
    assert target_secrets.find_foreign_manager({"managedFields": [entry]}) is None


def test_parse_takes_the_time_of_our_last_write() -> None:
    """It is that of our Apply entry; other managers' entries say nothing of it."""
    ours = {"manager": "tls-sync", "operation": "Apply", "time": "2026-02-20T08:00:00Z", "fieldsV1": {}}
    theirs = {"manager": "kubectl", "operation": "Update", "time": "2026-02-21T08:00:00Z", "fieldsV1": {}}
    metadata = {"namespace": "app-a", "name": "web-tls", "uid": "u", "resourceVersion": "1"}
    found = target_secrets.parse_target_secret(
        {**metadata, "managedFields": [theirs, ours, theirs]}, annotations.SECRET_TYPE
    )
    assert found.managed.written == "2026-02-20T08:00:00Z"
    others = target_secrets.parse_target_secret(
        {**metadata, "managedFields": [theirs]}, annotations.SECRET_TYPE
    )
    assert others.managed.written == ""
