"""Which Secrets on a target are ours, and what their metadata says. Pure.

Server-side apply records in managedFields who wrote which key. As long as our Apply entry owns every key that
we sent, nobody has changed a value since: this shows every edit without reading a private key.
"""

from collections.abc import Set as AbstractSet
from datetime import datetime
from functools import lru_cache

from tasks.config.metadata import Metadata
from tasks.domain.annotations import (
    ADOPT,
    COPIED_KEYS,
    FIELD_MANAGER,
    FINGERPRINT,
    KEYS,
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
    ROUTE_METADATA,
    SENDABLE_KEYS,
    SERIAL,
    SOURCE,
    SOURCE_CLUSTER,
    STAMPED,
)
from tasks.domain.further_keys import FURTHER_KEYS
from tasks.domain.models import Certificate, OrphanRecord, Owner, TargetSecret, Version
from tasks.domain.names import UID
from tasks.plan.further import record_of, recorded_keys

MAX_RUN_DIGITS = 6
"""Maximum number of digits of a number of runs: enough for hourly runs for a century."""


def labels(owner: str) -> dict[str, str]:
    return {MANAGED_BY: FIELD_MANAGER, OWNER: owner}


def annotations(certificate: Certificate, keys: AbstractSet[str] = frozenset()) -> dict[str, str]:
    """What a copy says of its content; `keys` are the further ones that it gets."""
    version, record = certificate.version, record_of(certificate, keys)
    return {
        SOURCE: str(certificate.ref),
        FINGERPRINT: version.fingerprint,
        NOT_BEFORE: version.not_before.isoformat(),
        NOT_AFTER: version.not_after.isoformat(),
        SERIAL: certificate.serial,
    } | ({KEYS: record} if record else {})


def source_cluster_annotation(owner: Owner) -> dict[str, str]:
    """The annotation that says from which OPS cluster a copy came."""
    return {SOURCE_CLUSTER: owner.cluster_id}


def metadata_record(given: Metadata) -> dict[str, str]:
    """The annotation that says which labels and annotations the route gave; none where it gave none."""
    return {ROUTE_METADATA: given.record} if given.keys else {}


def carries(secret: TargetSecret, given: Metadata) -> bool:
    """Whether an unedited copy has what its route gives, and nothing else that a route gave."""
    return (
        secret.annotations.get(ROUTE_METADATA, "") == given.record
        and given.labels.items() <= secret.labels.items()
        and given.annotations.items() <= secret.annotations.items()
    )


def is_ours(secret: TargetSecret, owner: Owner) -> bool:
    """Whether a Secret has our labels, our source annotation and our Apply entry, and no other OPS's uid."""
    return (
        secret.labels.get(MANAGED_BY) == FIELD_MANAGER
        and secret.labels.get(OWNER) == owner.name
        and bool(secret.annotations.get(SOURCE))
        and secret.managed.ours is not None
        and not is_from_other_source_cluster(secret, owner)
    )


def has_other_owner(secret: TargetSecret, owner: Owner) -> bool:
    """Whether a tls-sync of another owner made the copy."""
    label = secret.labels.get(OWNER)
    return secret.labels.get(MANAGED_BY) == FIELD_MANAGER and label not in (None, owner.name)


def is_from_other_source_cluster(secret: TargetSecret, owner: Owner) -> bool:
    """Whether another OPS cluster wrote the copy; copies of earlier versions don't say.

    False as well where this OPS's own uid is unknown: then nothing is written anyhow.
    """
    written_from, ours = secret.annotations.get(SOURCE_CLUSTER), owner.cluster_id
    is_known = not ours or written_from in (None, ours) or written_from in owner.former
    return secret.labels.get(MANAGED_BY) == FIELD_MANAGER and not is_known


def describe_source_cluster(secret: TargetSecret) -> str:
    """From which OPS cluster the copy says that it came."""
    uid = secret.annotations.get(SOURCE_CLUSTER, "")
    return f"OPS cluster {uid}" if UID.fullmatch(uid) else f"{SOURCE_CLUSTER} is no uid"


def may_adopt(secret: TargetSecret, owner: Owner) -> bool:
    """Whether the target side asks us to adopt the Secret, and nobody else manages it."""
    is_wanted = secret.annotations.get(ADOPT) in (owner.name, _adopt_and_lose_keys(owner))
    is_anothers = has_other_owner(secret, owner) or is_from_other_source_cluster(secret, owner)
    return is_wanted and secret.managed_by is None and not is_anothers


def _adopt_and_lose_keys(owner: Owner) -> str:
    return f"{owner.name},{LOSE_KEYS}"


def keys_to_lose(secret: TargetSecret, owner: Owner, sent: AbstractSet[str] = frozenset()) -> frozenset[str]:
    """The keys that an adoption would remove without permission. The Secret must have been read.

    `sent` are the further keys that the copy gets.
    """
    others = secret.keys - COPIED_KEYS - sent
    if not others or is_ours(secret, owner) or secret.annotations.get(ADOPT) == _adopt_and_lose_keys(owner):
        return frozenset()
    return others


def is_drifted(secret: TargetSecret, source: Certificate) -> bool:
    """Whether someone else has written to our copy: to its keys, or to our metadata.

    A key that another manager owns beside us is unchanged: a change would have removed it from our entry.
    """
    ours = secret.managed.ours or frozenset()
    same = secret.annotations.get(FINGERPRINT) == source.version.fingerprint
    expected = frozenset(source.keys) if same else frozenset({"tls.crt", "tls.key"})
    expected |= recorded_keys(secret)
    return (
        not expected <= ours
        or not ours <= SENDABLE_KEYS
        or (same and ours != expected)  # an earlier version claimed a key to drop it, and never did
        or not secret.managed.others <= ours
        or not _has_its_metadata(secret)
    )


def written_version(secret: TargetSecret | None) -> Version | None:
    """What the copy holds: as read, where it was read; else by the annotations that we wrote with it."""
    if secret is None or secret.was_read:
        return secret.read if secret else None
    written = secret.annotations
    try:
        return _version(written[FINGERPRINT], written[NOT_BEFORE], written[NOT_AFTER])
    except (KeyError, ValueError):
        return None


@lru_cache(maxsize=2000)  # the copies of a certificate say the same on all clusters
def _version(fingerprint: str, not_before: str, not_after: str) -> Version:
    return Version(
        fingerprint=fingerprint, not_before=parse_time(not_before), not_after=parse_time(not_after)
    )


def is_untouched(secret: TargetSecret) -> bool:
    """Whether nobody else has written to the data and metadata of our copy."""
    managed = secret.managed
    ours = managed.ours or frozenset()
    return _has_its_metadata(secret) and managed.others <= ours <= SENDABLE_KEYS


def _has_its_metadata(secret: TargetSecret) -> bool:
    """Whether our Apply entry owns all metadata that we wrote: someone else's value would have ended that.

    Of the further keys, it owns those that the metadata names.
    """
    record = secret.annotations.get(ROUTE_METADATA)
    own = STAMPED if SOURCE_CLUSTER in secret.annotations else METADATA  # earlier versions wrote no stamp
    own = own if record is None else own | {ROUTE_METADATA}
    own = own | {KEYS} if KEYS in secret.annotations else own
    further = FURTHER_KEYS & (secret.managed.ours or frozenset())
    return (
        secret.managed.ours_metadata == own
        and secret.managed.ours_given == _keys_of(record or "")
        and further == recorded_keys(secret)
    )


@lru_cache(maxsize=1000)
def _keys_of(record: str) -> frozenset[str]:
    return frozenset(record.split())


def orphan_annotations(record: OrphanRecord) -> dict[str, str]:
    """The annotations that hold a record on a copy."""
    if not (record.since and record.seen):
        return {}
    return {
        ORPHANED_SINCE: record.since.isoformat(timespec="seconds"),
        ORPHANED_SEEN: record.seen.isoformat(timespec="seconds"),
        ORPHANED_RUNS: str(record.runs),
    }


def orphan_record_of(secret: TargetSecret, owner: Owner) -> OrphanRecord:
    """The record on a copy of ours. Annotations that can't be parsed count as absent."""
    found = secret.annotations
    kept = f'its annotation {PRUNE} is not "true"' if found.get(PRUNE, "true") != "true" else ""
    kept = kept or ("" if is_untouched(secret) else "it was edited on the target")
    kept = kept or _unproven(secret, owner)
    kept = "it is being deleted already" if secret.terminating else kept
    source = found.get(SOURCE, "")
    try:
        since, seen = parse_time(found[ORPHANED_SINCE]), parse_time(found[ORPHANED_SEEN])
        runs = parse_count(found[ORPHANED_RUNS])
        return OrphanRecord(since=since, seen=seen, runs=runs, source=source, kept=kept)
    except (KeyError, ValueError):
        return OrphanRecord(source=source, kept=kept)


def _unproven(secret: TargetSecret, owner: Owner) -> str:
    """Why OPS can't prove that the copy's source is gone; empty where it can."""
    uid = secret.annotations.get(SOURCE_CLUSTER)
    if uid is None:
        return "an earlier version wrote it, and did not note from which OPS cluster"
    return "" if uid == owner.cluster_id else "it came from a former OPS cluster"


def parse_time(text: str) -> datetime:
    """Parse a time of our annotations, which has a time zone. Raises ValueError."""
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError("no time zone")
    return found


def parse_count(text: str) -> int:
    """Parse the number of runs of our annotation. Raises ValueError."""
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_RUN_DIGITS):
        raise ValueError("not a number of runs")
    return int(text)


def may_write(secret: TargetSecret, owner: Owner) -> bool:
    return is_ours(secret, owner) or may_adopt(secret, owner)
