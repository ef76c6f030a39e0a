"""Notes go to copies that were compared, a limited number at a time, and cost nothing where they fail."""

from dataclasses import replace
from typing import Any, cast

import pytest

from tasks.domain.annotations import NOTE, NOTE_MANAGER
from tasks.domain.errors import ClusterError
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import Failure, SecretRef, TargetSecret
from tasks.kube.client import ClusterClient, Written
from tasks.plan.observed import ObservedState
from tasks.target import notes
from tasks.target.notes import write_notes
from tests.support.factories import target_secret


class Target:
    """Takes annotations; of some names it refuses them."""

    def __init__(self, **refused: FailureCode) -> None:
        self.refused = refused
        self.written: dict[str, dict[str, Any]] = {}
        self.strips = False
        """A webhook removes the annotation."""

    def annotate(self, ref: SecretRef, annotations: dict[str, str | None], **values: str) -> Written:
        if code := self.refused.get(ref.name):
            raise ClusterError(Failure(code=code, cluster="dev", what=f"annotate secret {ref}"))
        self.written[ref.name] = {"annotations": annotations, **values}
        metadata = {
            "name": ref.name,
            "namespace": ref.namespace,
            "uid": values["uid"],
            "resourceVersion": "42",
        }
        kept = {key: text for key, text in annotations.items() if text is not None and not self.strips}
        return Written(metadata | {"annotations": kept}, "")


def copies(*names: str) -> list[tuple[TargetSecret, str | None]]:
    """Copies in the namespaces that their names begin with."""
    made = (target_secret(name=name, namespace=name.partition("-")[0]) for name in names)
    return [(replace(one, uid=f"uid-{one.ref.name}"), f"note-{one.ref.name}") for one in made]


def write(target: Target, *names: str) -> list[str]:
    return write_notes(cast(ClusterClient, target), copies(*names), ObservedState())


def test_a_note_is_written_under_uid_and_resource_version_by_a_manager_of_its_own() -> None:
    """It is one annotation and nothing else, of the very object that was compared."""
    target = Target()
    assert write(target, "a") == []
    assert target.written == {
        "a": {
            "annotations": {NOTE: "note-a"},
            "uid": "uid-a",
            "version": "41",
            "field_manager": NOTE_MANAGER,
        }
    }


def test_a_run_writes_a_limited_number_of_notes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first run after an upgrade does not double its requests; the following ones write the rest."""
    monkeypatch.setattr(notes, "MAX_NOTES", 2)
    target = Target()
    write(target, "a", "b", "c")
    assert set(target.written) == {"a", "b"}


def test_a_note_that_fails_is_a_warning() -> None:
    """Others are written; the warning counts the failures by code."""
    target = Target(a=FailureCode.CONFLICT, c=FailureCode.FORBIDDEN, d=FailureCode.CONFLICT)
    (warning,) = write(target, "a", "b", "c", "d")
    assert warning.startswith("3 notes could not be written (Conflict 2, Forbidden 1): ")
    assert set(target.written) == {"b"}


def test_a_namespace_that_refuses_notes_is_left_after_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred refusals would leave none for the others, run after run."""
    monkeypatch.setattr(notes, "MAX_CONNECTIONS", 1)
    monkeypatch.setattr(notes, "MAX_NOTES", 3)
    refused = {f"a-{number}": FailureCode.FORBIDDEN for number in range(5)}
    target = Target(**refused)
    (warning,) = write(target, *refused, "b-0", "b-1", "b-2")
    assert warning.startswith("1 note could not be written (Forbidden 1): ")
    assert set(target.written) == {"b-0", "b-1"}


def test_a_note_that_does_not_stay_is_told() -> None:
    """A webhook that removes it would make each run read the key, and write the note, in silence."""
    target = Target()
    target.strips = True
    (warning,) = write(target, "a", "b")
    assert "AlteredByAdmission 2" in warning


def test_a_note_is_removed_where_there_is_none_any_more() -> None:
    """The annotation goes, and that is no failure."""
    target = Target()
    (one, _), *_ = copies("a")
    assert write_notes(cast(ClusterClient, target), [(one, None)], ObservedState()) == []
    assert target.written["a"]["annotations"] == {NOTE: None}


def test_who_remembers_the_copies_remembers_their_notes() -> None:
    """The watcher writes the next renewal under the resourceVersion that the note has made."""
    (one, other), observed = copies("a", "b"), ObservedState(is_kept=True)
    write_notes(cast(ClusterClient, Target(b=FailureCode.CONFLICT)), [one, other], observed)
    known = observed.secrets[one[0].ref]
    assert (known.resource_version, known.type, known.annotations) == ("42", one[0].type, {NOTE: "note-a"})
    assert set(observed.secrets) == {one[0].ref}
