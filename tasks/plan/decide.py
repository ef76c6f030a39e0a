"""Desired x current -> what to do. Pure: no request, no clock, no log.

The decision table:

| on OPS                               | on the target                      | action  | reason              |
| ------------------------------------ | ---------------------------------- | ------- | ------------------- |
| valid, routed here                   | absent                             | create  | MissingOnTarget     |
| valid, routed here                   | ours, same content                 | keep    | InSync              |
| valid, routed here                   | ours, other content                | update  | CertificateRenewed  |
| valid, routed here                   | ours, sent by another route before | update  | SourceChanged       |
| valid, routed here                   | ours, edited by someone            | update  | Drifted             |
| valid, routed here                   | ours, edited, and newer than OPS's | refuse  | WouldDowngrade      |
| valid, routed here                   | ours, newer than OPS's             | refuse  | WouldDowngrade      |
| valid, routed here                   | ours, newer, but unfit for any use | update  | CertificateRenewed  |
| valid, routed here                   | not ours                           | refuse  | OwnedByOther        |
| valid, routed here                   | another owner's copy               | refuse  | OwnedByAnotherOwner |
| valid, routed here                   | another OPS cluster's copy | refuse  | OwnedByAnotherSourceCluster |
| valid, routed here                   | held by cert-manager               | refuse  | OwnedByCertManager  |
| valid, routed here                   | held by Helm                       | refuse  | OwnedByHelm         |
| valid, routed here                   | held by Argo CD                    | refuse  | OwnedByArgoCD       |
| valid, routed here                   | held by Flux                       | refuse  | OwnedByFlux         |
| valid, routed here                   | held by another controller         | refuse  | OwnedByController   |
| valid, routed here                   | not ours, asks to be adopted       | update  | Adopted             |
| valid, routed here                   | asks to be adopted, but is newer   | refuse  | WouldDowngrade      |
| valid, routed here                   | asks for it, but has other keys  | refuse  | AdoptionWouldLoseKeys |
| valid, routed here                   | ours, other type                   | refuse  | TypeDiffers         |
| valid, routed here                   | ours, immutable                    | refuse  | Immutable           |
| valid, routed here                   | there, but can't be read           | refuse  | Unreadable          |
| valid, routed here                   | being deleted                      | refuse  | Terminating         |
| valid, routed here, name not allowed | any                                | refuse  | HostnameNotAllowed  |
| invalid (any check)                  | ours                               | keep    | the check's reason  |
| invalid (any check), named literally | absent or not ours                 | nothing | the check's reason  |
| invalid (any check), found by a glob | absent or not ours                 | -       |                     |
| not there, named literally           | ours                               | keep    | MissingOnSource     |
| not there, named literally           | absent or not ours                 | nothing | MissingOnSource     |
| being issued                         | ours                               | keep    | IssuancePending     |
| being issued, named literally        | absent or not ours                 | nothing | IssuancePending     |
| being issued, found by a glob        | absent or not ours                 | -       |                     |
| issuance is late                     | ours                               | keep    | IssuanceLate        |
| issuance is late, named literally    | absent or not ours                 | nothing | IssuanceLate        |
| issuance is late, found by a glob    | absent or not ours                 | -       |                     |
| gone, routed by a glob               | ours                               | keep    | GoneFromSource      |
| not routed here any more             | ours, in a routed namespace        | keep    | NoLongerRouted      |
| not routed here                      | not ours                           | -       |                     |

A refusal, a check's reason, MissingOnSource and IssuanceLate make the cluster, and so the run, Failed: a
certificate was wanted there and can't be had. Being issued: cert-manager's Certificate is there, and its
Secret is not, or holds a temporary certificate or none; see source/issuance.py. Newer goes by notBefore:
renewals end earlier, too, when lifetimes shrink. A newer copy that has expired may be replaced, and one that
is unfit whatever the time: it is read before it counts as newer, and must pass the checks but for those about
time. Held: the metadata shows that someone else looks after it. It asks to be adopted where the target side
has set the annotation tls-sync.io/adopt to our owner; other keys are those beyond tls.crt, tls.key and
ca.crt, which `<owner>,lose-other-keys` lets go. Another OPS cluster's copy bears our owner and, in
tls-sync.io/source-cluster, a uid that is neither that of OPS nor in formerClusterIds.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime

from tasks.config.schema import Cluster, RoutedCopy
from tasks.domain import annotations
from tasks.domain.models import (
    Action,
    Certificate,
    Change,
    Issuance,
    Owner,
    Plan,
    Rejection,
    SecretRef,
    SourceEntry,
    SourceSnapshot,
    TargetSecret,
    Version,
)
from tasks.domain.names import is_name
from tasks.domain.reasons import Reason
from tasks.domain.text import join_limited
from tasks.plan import ownership
from tasks.plan.ownership import may_write
from tasks.plan.safety import disallowed_names

DOUBTFUL = frozenset({Reason.DRIFTED, Reason.ADOPTED, Reason.WOULD_DOWNGRADE})
"""Reasons of rows that metadata alone doesn't settle."""


def make_plan(  # noqa: PLR0913  the facts that decide, each passed once
    cluster: Cluster,
    inventory: SourceSnapshot,
    current: Iterable[TargetSecret],
    *,
    owner: Owner,
    now: datetime,
    certificate: str | None = None,
    explicit: bool = True,
) -> Plan:
    """The changes for one cluster, sorted by target. With `certificate`, those of this one alone.

    Where a person `asked` for it, it counts as named by the routes that send it.
    """
    sources = inventory.entries
    found = {secret.ref: secret for secret in current}
    wanted = cluster.routed_copies(frozenset(sources), certificate if explicit else None)
    rows = [
        change
        for want in wanted
        if (
            change := decide(
                want, sources.get(want.certificate), found.get(want.target), cluster.hostnames, owner, now
            )
        )
    ]
    rows += unrouted_copies(cluster, set(sources), found, {want.target for want in wanted}, owner)
    chosen = (with_absence(r, found, owner) for r in rows if certificate in (None, r.certificate))
    ordered = sorted(chosen, key=lambda row: (row.target.namespace, row.target.name))
    return Plan(cluster=cluster.name, changes=tuple(ordered))


def decide(  # noqa: PLR0913, PLR0917  one row of the table is made of these
    want: RoutedCopy,
    source: SourceEntry | None,
    current: TargetSecret | None,
    hostnames: tuple[str, ...],
    owner: Owner,
    now: datetime,
) -> Change | None:
    """One row of the table; None where there is nothing to say."""
    old = written_version(current)
    if isinstance(source, Certificate) and old == source.version:
        old = source.version  # one object, for all copies
    ours = current is not None and ownership.is_ours(current, owner)

    def row(action: Action, reason: Reason, detail: str = "") -> Change:
        return Change(
            action=action,
            reason=reason,
            target=want.target,
            certificate=want.certificate,
            old=old,
            new=source.version if isinstance(source, Certificate) else None,
            detail=detail,
        )

    if not isinstance(source, Certificate):
        reason, detail = why_none(want, source, now)
        if ours:
            return row(Action.KEEP, reason, detail)
        return row(Action.NOTHING, reason, detail) if want.literal else None
    if strangers := disallowed_names(source, hostnames):
        return row(Action.REFUSE, Reason.HOSTNAME_NOT_ALLOWED, strangers)
    if current is None:
        return row(Action.CREATE, Reason.MISSING_ON_TARGET)
    if obstacle := find_obstacle(current, owner):
        return row(Action.REFUSE, obstacle, about(obstacle, current, owner))
    newer = is_newer(current, old, source, now)
    action, reason = compare(source, current, newer=newer) if ours else adopt(newer=newer)
    change = row(action, reason, f"the copy is unfit: {current.unfit}" if current.unfit else "")
    return with_preconditions(change, source, current) if change.writes else change


def why_none(want: RoutedCopy, source: Rejection | Issuance | None, now: datetime) -> tuple[Reason, str]:
    """Why OPS has nothing that could be sent."""
    if source is None:
        return Reason.MISSING_ON_SOURCE if want.literal else Reason.GONE_FROM_SOURCE, ""
    return source.reason(now) if isinstance(source, Issuance) else source.reason, source.detail


def find_obstacle(current: TargetSecret, owner: Owner) -> Reason | None:
    """Why a Secret that exists on the target can't be written to, whatever its content."""
    obstacles = (
        (current.terminating, Reason.TERMINATING),
        (current.managed_by is not None, current.managed_by),
        (ownership.has_other_owner(current, owner), Reason.OWNED_BY_ANOTHER_OWNER),
        (ownership.is_from_elsewhere(current, owner), Reason.OWNED_BY_ANOTHER_SOURCE_CLUSTER),
        (not may_write(current, owner), Reason.OWNED_BY_OTHER),
        (current.type != annotations.SECRET_TYPE, Reason.TYPE_DIFFERS),
        (bool(ownership.keys_to_lose(current, owner)), Reason.ADOPTION_WOULD_LOSE_KEYS),
        (current.immutable, Reason.IMMUTABLE),
    )
    return next((reason for holds, reason in obstacles if holds), None)


def about(obstacle: Reason, current: TargetSecret, owner: Owner) -> str:
    """What a person has to know of it beyond its sentence."""
    if obstacle is Reason.OWNED_BY_ANOTHER_SOURCE_CLUSTER:
        return ownership.source_cluster(current)
    if obstacle is Reason.ADOPTION_WOULD_LOSE_KEYS:
        return join_limited(sorted(ownership.keys_to_lose(current, owner)))
    return ""


def compare(source: Certificate, current: TargetSecret, *, newer: bool) -> tuple[Action, Reason]:
    """What to do with a copy of ours."""
    if ownership.is_drifted(current, source):
        # What we noted on an edited copy proves nothing: only a read one can be called newer.
        downgrade = current.was_read and newer
        return (Action.REFUSE, Reason.WOULD_DOWNGRADE) if downgrade else (Action.UPDATE, Reason.DRIFTED)
    sent_from = current.annotations.get(annotations.SOURCE, "")
    if sent_from.rpartition("/")[2] != source.ref.name:
        return Action.UPDATE, Reason.SOURCE_CHANGED
    if newer:
        return Action.REFUSE, Reason.WOULD_DOWNGRADE
    if sent_from != str(source.ref):
        return Action.UPDATE, Reason.SOURCE_CHANGED
    if current.annotations.get(annotations.FINGERPRINT) == source.version.fingerprint:
        return Action.KEEP, Reason.IN_SYNC
    return Action.UPDATE, Reason.CERTIFICATE_RENEWED


def adopt(*, newer: bool) -> tuple[Action, Reason]:
    """What to do with a Secret that we are asked to take over; it is newer only where it has been read."""
    return (Action.REFUSE, Reason.WOULD_DOWNGRADE) if newer else (Action.UPDATE, Reason.ADOPTED)


def is_newer(current: TargetSecret, old: Version | None, source: Certificate, now: datetime) -> bool:
    """Whether what the target holds must not be replaced: it is fit, began later, and has not expired."""
    if old is None or current.unfit:
        return False
    return old.not_before > source.version.not_before and old.not_after > now


def written_version(current: TargetSecret | None) -> Version | None:
    """What the copy holds: as read, where it had to be read; otherwise as we noted when we wrote it."""
    if current is None or current.was_read:
        return current.read if current else None
    notes = current.annotations
    try:
        return Version(
            fingerprint=notes[annotations.FINGERPRINT],
            not_before=ownership.moment(notes[annotations.NOT_BEFORE]),
            not_after=ownership.moment(notes[annotations.NOT_AFTER]),
        )
    except (KeyError, ValueError):
        return None


def with_preconditions(change: Change, source: Certificate, current: TargetSecret) -> Change:
    """An update, bound to the very object and state that the decision was made on."""
    adopted = change.reason is Reason.ADOPTED
    ending = [annotations.ADOPT, *[annotations.LAST_APPLIED] * current.has_last_applied] if adopted else []
    # Its certificate is not gone: a copy that is written before each run would keep its notes otherwise.
    ending += sorted(annotations.ORPHAN_MARKS & current.annotations.keys())
    return replace(
        change,
        uid=current.uid,
        resource_version=current.resource_version,
        extra_keys=tuple(sorted(extra_keys(source, current, adopted=adopted))),
        extra_annotations=tuple(ending),
    )


def extra_keys(source: Certificate, current: TargetSecret, *, adopted: bool) -> frozenset[str]:
    """What a patch has to take off before our apply, which takes off only what we alone have sent."""
    ours, sent = current.managed.ours or frozenset(), frozenset(source.keys)
    foreign = (current.managed.others | (current.keys - ours)) - sent
    return foreign | (ours - sent) if foreign or adopted else frozenset()


def unrouted_copies(
    cluster: Cluster,
    on_source: set[str],
    found: dict[SecretRef, TargetSecret],
    wanted: set[SecretRef],
    owner: Owner,
) -> Iterator[Change]:
    """Copies of ours that nothing asks for any more: kept, and said."""
    for secret in found.values():
        if secret.ref in wanted or not ownership.is_ours(secret, owner):
            continue
        noted = secret.annotations[annotations.SOURCE].rpartition("/")[2]
        name = noted if is_name(noted) else "unknown"
        routed = any(want.target == secret.ref for want in cluster.routed_copies(frozenset({name})))
        gone = name not in on_source and routed
        yield Change(
            action=Action.KEEP,
            reason=Reason.GONE_FROM_SOURCE if gone else Reason.NO_LONGER_ROUTED,
            target=secret.ref,
            certificate=name,
            old=written_version(secret),
        )


def with_absence(row: Change, found: Mapping[SecretRef, TargetSecret], owner: Owner) -> Change:
    """Where the certificate is gone, or the copy says that it was: what prune.py decides on."""
    secret = found.get(row.target)
    if row.writes or secret is None:
        return row
    is_marked = not annotations.ORPHAN_MARKS.isdisjoint(secret.annotations)
    told = row.reason is Reason.GONE_FROM_SOURCE or is_marked  # of few rows; who owns it is asked of these
    if not (told and ownership.is_ours(secret, owner)):
        return row
    noted = ownership.absence_of(secret, owner)
    return replace(row, uid=secret.uid, resource_version=secret.resource_version, absence=noted)


def must_read_first(plan: Plan, current: Mapping[SecretRef, TargetSecret]) -> tuple[SecretRef, ...]:
    """What must be read before it is replaced, or not.

    What others wrote could be newer than what OPS has; what began later could be unfit for any use.
    """
    doubtful = (c.target for c in plan.changes if c.reason in DOUBTFUL)
    return tuple(ref for ref in doubtful if not current[ref].was_read)


def downgrades(plan: Plan) -> frozenset[str]:
    """Certificates of which a target has a newer one: OPS may have renewed them since it was listed."""
    return frozenset(c.certificate for c in plan.changes if c.reason is Reason.WOULD_DOWNGRADE)
