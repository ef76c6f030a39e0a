"""What makes a Secret on a target ours, and what its listed metadata says. Pure.

Server-side apply records in managedFields who wrote which key. As long as our Apply entry owns every key that
we sent, nobody has changed a value since: that shows every edit without reading a private key.
"""

from datetime import datetime

from tasks.domain.annotations import (
    ADOPT,
    COPIED_KEYS,
    FIELD_MANAGER,
    FINGERPRINT,
    LOSE_KEYS,
    MANAGED_BY,
    METADATA,
    NOT_AFTER,
    NOT_BEFORE,
    ORPHANED_RUNS,
    ORPHANED_SEEN,
    ORPHANED_SINCE,
    OWNER,
    PRUNE,
    SERIAL,
    SOURCE,
    SOURCE_CLUSTER,
    STAMPED,
)
from tasks.domain.models import Certificate, OrphanRecord, Owner, TargetSecret
from tasks.domain.names import UID

MOST_DIGITS = 6
"""Of a number of runs: hourly ones for a century."""


def labels(owner: str) -> dict[str, str]:
    return {MANAGED_BY: FIELD_MANAGER, OWNER: owner}


def annotations(certificate: Certificate) -> dict[str, str]:
    version = certificate.version
    return {
        SOURCE: str(certificate.ref),
        FINGERPRINT: version.fingerprint,
        NOT_BEFORE: version.not_before.isoformat(),
        NOT_AFTER: version.not_after.isoformat(),
        SERIAL: certificate.serial,
    }


def stamp(owner: Owner) -> dict[str, str]:
    """What a copy says of the OPS cluster that it came from."""
    return {SOURCE_CLUSTER: owner.cluster_id}


def is_ours(secret: TargetSecret, owner: Owner) -> bool:
    """Our labels, our source annotation, an entry of ours: all of them, or it is someone else's.

    And no other OPS cluster wrote it.
    """
    return (
        all(secret.labels.get(key) == value for key, value in labels(owner.name).items())
        and bool(secret.annotations.get(SOURCE))
        and secret.managed.ours is not None
        and not is_from_elsewhere(secret, owner)
    )


def has_other_owner(secret: TargetSecret, owner: Owner) -> bool:
    """A copy that a tls-sync of another owner made."""
    label = secret.labels.get(OWNER)
    return secret.labels.get(MANAGED_BY) == FIELD_MANAGER and label not in (None, owner.name)


def is_from_elsewhere(secret: TargetSecret, owner: Owner) -> bool:
    """A copy that another OPS cluster wrote, as far as it says so: earlier versions noted nothing.

    Where it is not known which OPS this is, nothing is from elsewhere; then nothing is written either.
    """
    noted, here = secret.annotations.get(SOURCE_CLUSTER), owner.cluster_id
    is_known = not here or noted in (None, here) or noted in owner.former
    return secret.labels.get(MANAGED_BY) == FIELD_MANAGER and not is_known


def source_cluster(secret: TargetSecret) -> str:
    """Which OPS cluster it says it came from, for a person."""
    noted = secret.annotations.get(SOURCE_CLUSTER, "")
    return f"OPS cluster {noted}" if UID.fullmatch(noted) else f"{SOURCE_CLUSTER} is no uid"


def may_adopt(secret: TargetSecret, owner: Owner) -> bool:
    """The target asks us to take it over, and nobody else looks after it."""
    asked = secret.annotations.get(ADOPT) in (owner.name, _letting_go(owner))
    anothers = has_other_owner(secret, owner) or is_from_elsewhere(secret, owner)
    return asked and secret.managed_by is None and not anothers


def _letting_go(owner: Owner) -> str:
    return f"{owner.name},{LOSE_KEYS}"


def keys_to_lose(secret: TargetSecret, owner: Owner) -> frozenset[str]:
    """The keys that an adoption would take off though nobody said that they may go; of one that was read."""
    further = secret.keys - COPIED_KEYS
    if not further or is_ours(secret, owner) or secret.annotations.get(ADOPT) == _letting_go(owner):
        return frozenset()
    return further


def is_drifted(secret: TargetSecret, source: Certificate) -> bool:
    """Someone has written to our copy: a key is no longer ours alone, or our own metadata was touched.

    A value of ours that another manager co-owns is unchanged: a change would have taken it from our entry.
    """
    ours = secret.managed.ours or frozenset()
    same = secret.annotations.get(FINGERPRINT) == source.version.fingerprint
    expected = frozenset(source.keys) if same else frozenset({"tls.crt", "tls.key"})
    return (
        not expected <= ours
        or not ours <= COPIED_KEYS
        or (same and ours != expected)  # an earlier version claimed a key to drop it, and never did
        or not secret.managed.others <= ours
        or secret.managed.ours_metadata != _metadata_of(secret)
    )


def is_untouched(secret: TargetSecret) -> bool:
    """Our copy, whose data and metadata of ours nobody else has written to."""
    managed = secret.managed
    ours = managed.ours or frozenset()
    return managed.ours_metadata == _metadata_of(secret) and managed.others <= ours <= COPIED_KEYS


def _metadata_of(secret: TargetSecret) -> frozenset[str]:
    """What our entry has to own: on a copy that an earlier version wrote, there is no stamp."""
    return STAMPED if SOURCE_CLUSTER in secret.annotations else METADATA


def marks(absence: OrphanRecord) -> dict[str, str]:
    """The annotations that note it."""
    if not (absence.since and absence.seen):
        return {}
    return {
        ORPHANED_SINCE: absence.since.isoformat(timespec="seconds"),
        ORPHANED_SEEN: absence.seen.isoformat(timespec="seconds"),
        ORPHANED_RUNS: str(absence.runs),
    }


def absence_of(secret: TargetSecret, owner: Owner) -> OrphanRecord:
    """What is noted on a copy of ours. Notes that someone spoilt count as none."""
    notes = secret.annotations
    kept = f'its annotation {PRUNE} is not "true"' if notes.get(PRUNE, "true") != "true" else ""
    kept = kept or ("" if is_untouched(secret) else "it was edited on the target")
    kept = kept or _unproven(secret, owner)
    kept = "it is being deleted already" if secret.terminating else kept
    source = notes.get(SOURCE, "")
    try:
        since, seen = moment(notes[ORPHANED_SINCE]), moment(notes[ORPHANED_SEEN])
        runs = count(notes[ORPHANED_RUNS])
        return OrphanRecord(since=since, seen=seen, runs=runs, source=source, kept=kept)
    except (KeyError, ValueError):
        return OrphanRecord(source=source, kept=kept)


def _unproven(secret: TargetSecret, owner: Owner) -> str:
    """Why OPS can't tell that what fed the copy is gone; empty where it can."""
    noted = secret.annotations.get(SOURCE_CLUSTER)
    if noted is None:
        return "an earlier version wrote it, and did not note from which OPS cluster"
    return "" if noted == owner.cluster_id else "it came from a former OPS cluster"


def moment(text: str) -> datetime:
    """A point in time as we note it, with its zone; ValueError for what someone made of it."""
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError("no time zone")
    return found


def count(text: str) -> int:
    """A number of runs as we note it; ValueError for what someone made of it."""
    if not (text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS):
        raise ValueError("not a number of runs")
    return int(text)


def may_write(secret: TargetSecret, owner: Owner) -> bool:
    return is_ours(secret, owner) or may_adopt(secret, owner)
