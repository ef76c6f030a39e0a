"""Writes the notes of copies that were compared with OPS; plan/note.py says what they are for."""

import threading
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from tasks.domain.annotations import NOTE, NOTE_MANAGER
from tasks.domain.errors import ClusterError
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import SecretRef, TargetSecret
from tasks.domain.text import count_of
from tasks.kube.client import ClusterClient
from tasks.kubeconfig.reader import MAX_CONNECTIONS
from tasks.plan.observed import ObservedState

MAX_NOTES = 100
"""Maximum number of notes that one run writes to a cluster; the next run writes more."""
OF_THE_OBJECT = frozenset({FailureCode.CONFLICT, FailureCode.NOT_FOUND})
"""Failures that say nothing of the other copies of a namespace."""

Notes = Iterable[tuple[TargetSecret, str | None]]


def write_notes(target: ClusterClient, notes: Notes, observed: ObservedState) -> list[str]:
    """Write at most MAX_NOTES notes; None removes one. Returns a warning if some could not be written.

    The copies are in sync all the same: without its note, a copy's source is read again by the next run.
    """
    writer = _NoteWriter(target, observed)
    with ThreadPoolExecutor(MAX_CONNECTIONS) as pool:
        for _ in pool.map(lambda one: writer.write(*one), notes):
            pass
    if not writer.failed:
        return []
    codes = ", ".join(f"{code} {number}" for code, number in sorted(writer.failed.items()))
    what = f"{count_of(writer.failed.total(), 'note')} could not be written ({codes})"
    return [f"{what}: the next run reads these copies' certificates on OPS again"]


class _NoteWriter:
    """Usable from several threads. It leaves a namespace after the first note that is refused there."""

    def __init__(self, target: ClusterClient, observed: ObservedState) -> None:
        self._target, self._observed, self._lock = target, observed, threading.Lock()
        self._attempts, self._left = 0, set[str]()
        self.failed = Counter[str]()

    def write(self, copy: TargetSecret, note: str | None) -> None:
        with self._lock:
            if self._attempts >= MAX_NOTES or copy.ref.namespace in self._left:
                return
            self._attempts += 1
        try:
            self._write(copy, note)
        except ClusterError as error:
            self._record(copy.ref, error.failure.code)

    def _write(self, copy: TargetSecret, note: str | None) -> None:
        written = self._target.annotate(
            copy.ref, {NOTE: note}, uid=copy.uid, version=copy.resource_version, field_manager=NOTE_MANAGER
        )
        now = written.target_secret()
        if now is None or now.annotations.get(NOTE) != note:  # a webhook has changed it
            self._record(copy.ref, FailureCode.ALTERED)
        elif self._observed.is_kept:
            self._observed.update(copy.ref, replace(now, type=copy.type))

    def _record(self, ref: SecretRef, code: FailureCode) -> None:
        with self._lock:
            self.failed[str(code)] += 1
            if code not in OF_THE_OBJECT:
                self._left.add(ref.namespace)
