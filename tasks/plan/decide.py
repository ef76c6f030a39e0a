"""Decides what to do with each copy, from what OPS and the target hold. Pure: no request, no clock, no log.

The decision table:

| on OPS                               | on the target                      | action  | reason              |
| ------------------------------------ | ---------------------------------- | ------- | ------------------- |
| valid, routed here                   | absent                             | create  | MissingOnTarget     |
| valid, routed here                   | ours, same content                 | keep    | InSync              |
| valid, routed here                   | ours, other content                | update  | CertificateRenewed  |
| valid, routed here                   | ours, sent by another route before | update  | SourceChanged       |
| valid, routed here                   | ours, the route's keys differ      | update  | KeysChanged         |
| valid, routed here                   | ours, the route's metadata differs | update  | MetadataChanged     |
| valid, routed here                   | ours, edited by someone            | update  | Drifted             |
| valid, routed here                   | ours, edited, and newer than OPS's | refuse  | WouldDowngrade      |
| valid, routed here                   | ours, newer than OPS's             | refuse  | WouldDowngrade      |
| valid, routed here                   | ours, newer, but unfit for any use | update  | CertificateRenewed  |
| valid, routed here                   | not ours                           | refuse  | OwnedByOther        |
| valid, routed here                   | another owner's copy               | refuse  | OwnedByAnotherOwner |
| valid, routed here                   | another OPS cluster's copy | refuse  | OwnedByAnotherSourceCluster |
| valid, routed here                   | managed by cert-manager            | refuse  | OwnedByCertManager  |
| valid, routed here                   | managed by Helm                    | refuse  | OwnedByHelm         |
| valid, routed here                   | managed by Argo CD                 | refuse  | OwnedByArgoCD       |
| valid, routed here                   | managed by Flux                    | refuse  | OwnedByFlux         |
| valid, routed here                   | managed by another controller      | refuse  | OwnedByController   |
| valid, routed here                   | not ours, asks to be adopted       | update  | Adopted             |
| valid, routed here                   | asks to be adopted, but is newer   | refuse  | WouldDowngrade      |
| valid, routed here                   | asks for it, but has other keys  | refuse  | AdoptionWouldLoseKeys |
| valid, routed here                   | ours, other type                   | refuse  | TypeDiffers         |
| valid, routed here                   | ours, immutable                    | refuse  | Immutable           |
| valid, routed here                   | there, but can't be read           | refuse  | Unreadable          |
| valid, routed here                   | being deleted                      | refuse  | Terminating         |
| valid, routed here, name not allowed | any                                | refuse  | HostnameNotAllowed  |
| valid, routed here, a key is missing | any                                | refuse  | MissingKey          |
| valid, routed here, a key is unfit   | any                                | refuse  | FormatMismatch      |
| valid, asked for, name not allowed   | ours                             | keep    | RequestBeyondLimits |
| valid, asked for, name not allowed   | absent or not ours               | nothing | RequestBeyondLimits |
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
| not routed; Certificates are unread  | ours, one may have asked for it    | keep    | SourceUnread        |
| not routed here                      | not ours                           | -       |                     |

What a Certificate asks for (selfService) is routed here where a limit covers it, as by a glob; what goes
beyond the limits fails nothing.

A refusal, a check's reason, MissingOnSource and IssuanceLate make the cluster Failed, and so the run: a
certificate is wanted there and can't be had. "Being issued" means that cert-manager's Certificate exists, and
its Secret does not, or holds a temporary certificate or none; see source/issuance.py. "Newer" compares
notBefore, since a renewal may expire earlier when lifetimes shrink. A newer copy may be replaced when it has
expired, or when it is unfit at any time: it is read before it counts as newer, and must pass all checks but
those about time. A certificate whose data was not read is in sync where plan/note.py says so, and else read
before it is decided; if it can't be read, a copy of ours has a row SourceUnread. "Managed" means that the
metadata shows another manager. A Secret asks to be adopted where the target side has set tls-sync.io/adopt on
it to our owner; its other keys are those beyond tls.crt, tls.key and ca.crt, and `<owner>,lose-other-keys`
allows us to remove them. Another OPS cluster's copy has our owner and, in tls-sync.io/source-cluster, a uid
that is neither OPS's nor in formerClusterIds.

Before the table, the placeholders of a route may rule a copy out: they yield no valid name
(InvalidTargetName), or one name for several certificates (TargetCollision, a row for each of them). Such rows
are refused, whatever both sides hold.
"""

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from datetime import datetime

from tasks.config.routes import RoutedCopy
from tasks.config.routing import Routing
from tasks.config.schema import Cluster
from tasks.domain import annotations
from tasks.domain.models import (
    Action,
    Certificate,
    Change,
    Issuance,
    ListedSecret,
    Owner,
    Plan,
    ReadEntry,
    Rejection,
    SecretRef,
    SourceSnapshot,
    TargetSecret,
    Version,
)
from tasks.domain.names import HostnamePatterns, is_name
from tasks.domain.reasons import REQUESTS, Reason
from tasks.domain.text import join_limited
from tasks.plan import further, note, ownership
from tasks.plan.note import Rules
from tasks.plan.ownership import may_write
from tasks.plan.safety import beyond_limits, disallowed_names

DOUBTFUL = frozenset({Reason.DRIFTED, Reason.ADOPTED, Reason.WOULD_DOWNGRADE})
"""Reasons that metadata alone does not prove."""


def make_plan(  # noqa: PLR0913  the facts that decide, each passed once
    cluster: Cluster,
    snapshot: SourceSnapshot,
    current: Iterable[TargetSecret],
    *,
    owner: Owner,
    now: datetime,
    certificate: str | None = None,
    explicit: bool = True,
    rules: Rules | None = None,
) -> Plan:
    """The plan for one cluster, sorted by target. With `certificate`, only the rows of this one.

    `explicit` says that a person named it: then its absence from OPS is reported, even where globs route it.
    `rules` is needed where certificates were listed and not read.
    """
    sources = snapshot.entries
    found = {secret.ref: secret for secret in current}
    hostnames = HostnamePatterns(cluster.hostnames)
    wanted = cluster.routed_copies(snapshot.names, certificate if explicit else None)
    rows, unread = list[Change](), dict[SecretRef, str]()
    for want in wanted:
        source, copy = sources.get(want.certificate), found.get(want.target)
        if want.refusal:
            rows.append(refused(want, want.refusal, copy))
        elif not isinstance(source, ListedSecret):
            change = decide(want, source, copy, hostnames, owner, now)
            rows += [change] if change else []
        elif copy and rules and is_in_sync_by_note(want, copy, source, owner, rules, now):
            rows.append(in_sync(want, copy))
        elif certificate in (None, want.certificate):
            unread[want.target] = want.certificate
    rows += unrouted_copies(cluster, snapshot, found, {want.target for want in wanted}, owner)
    chosen = (with_orphan_record(r, found, owner) for r in rows if certificate in (None, r.certificate))
    ordered = sorted(chosen, key=lambda row: (row.target.namespace, row.target.name))
    return Plan(cluster=cluster.name, changes=tuple(ordered), unread=unread)


def is_in_sync_by_note(  # noqa: PLR0913, PLR0917  as for decide()
    want: RoutedCopy, copy: TargetSecret, source: ListedSecret, owner: Owner, rules: Rules, now: datetime
) -> bool:
    """Whether the metadata of both sides proves the row that `decide` would make of the content."""
    return (
        find_obstacle(copy, owner, want.keys) is None
        and ownership.carries(copy, want.metadata)
        and further.recorded_keys(copy) == want.keys
        and note.proves_sync(copy, source, owner, rules, now)
    )


def with_undecided(plan: Plan, copies: Mapping[SecretRef, TargetSecret], owner: Owner) -> Plan:
    """The plan, with a row for each copy of ours whose certificate could not be read."""
    if not plan.unread:
        return plan
    kept = (
        Change(
            action=Action.KEEP,
            reason=Reason.SOURCE_UNREAD,
            target=target,
            certificate=name,
            old=ownership.written_version(copies[target]),
        )
        for target, name in plan.unread.items()
        if target in copies and ownership.is_ours(copies[target], owner)
    )
    rows = sorted((*plan.changes, *kept), key=lambda row: (row.target.namespace, row.target.name))
    return plan.model_copy(update={"changes": tuple(rows)})


def refused(want: RoutedCopy, reason: Reason, copy: TargetSecret | None) -> Change:
    """The row of a copy that the routes themselves rule out; of one that was asked for, it is no failure."""
    return Change(
        action=Action.NOTHING if reason in REQUESTS else Action.REFUSE,
        reason=reason,
        target=want.target,
        certificate=want.certificate,
        old=ownership.written_version(copy),
        detail=want.detail,
    )


def in_sync(want: RoutedCopy, copy: TargetSecret) -> Change:
    version = ownership.written_version(copy)
    return Change(
        action=Action.KEEP,
        reason=Reason.IN_SYNC,
        target=want.target,
        certificate=want.certificate,
        old=version,
        new=version,
    )


def decide(  # noqa: PLR0913, PLR0917  one row of the table is made of these
    want: RoutedCopy,
    source: ReadEntry | None,
    current: TargetSecret | None,
    hostnames: HostnamePatterns,
    owner: Owner,
    now: datetime,
) -> Change | None:
    """The row for one copy; None where there is nothing to report."""
    old = ownership.written_version(current)
    if isinstance(source, Certificate) and old == source.version:
        old = source.version  # one object for all copies, to save memory
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
        reason, detail = why_unavailable(want, source, now)
        if ours:
            return row(Action.KEEP, reason, detail)
        return row(Action.NOTHING, reason, detail) if want.literal else None
    if unfit := why_unfit(want, source, hostnames, ours=ours):
        return row(*unfit)
    if current is None:
        return row(Action.CREATE, Reason.MISSING_ON_TARGET)
    if obstacle := find_obstacle(current, owner, want.keys):
        return row(Action.REFUSE, obstacle, obstacle_detail(obstacle, current, owner, want.keys))
    newer = is_newer(current, old, source, now)
    action, reason = compare(want, source, current, newer=newer) if ours else adopt(newer=newer)
    change = row(action, reason, f"the copy is unfit: {current.unfit}" if current.unfit else "")
    return with_preconditions(change, want, source, current) if change.writes else change


def why_unfit(
    want: RoutedCopy, source: Certificate, hostnames: HostnamePatterns, *, ours: bool
) -> tuple[Action, Reason, str] | None:
    """What to do with a copy that a valid certificate may not be sent to, and why; None where it may."""
    if disallowed := why_not_allowed(want, source, hostnames):
        return (*not_allowed(want, ours=ours), disallowed)
    fault = further.find_fault(source, want.keys)
    return (Action.REFUSE, *fault) if fault else None


def not_allowed(want: RoutedCopy, *, ours: bool) -> tuple[Action, Reason]:
    """What to do with a copy that its certificate's names don't allow: a request that goes so far is told."""
    if not want.requester:
        return Action.REFUSE, Reason.HOSTNAME_NOT_ALLOWED
    return Action.KEEP if ours else Action.NOTHING, Reason.REQUEST_BEYOND_LIMITS


def why_not_allowed(want: RoutedCopy, source: Certificate, hostnames: HostnamePatterns) -> str:
    """The certificate's names that may not be sent there, by which rule; empty where all may be."""
    disallowed = disallowed_names(source, hostnames)
    if not want.requester:
        return disallowed
    why = f"`hostnames` does not allow {disallowed}" if disallowed else beyond_limits(source, want.grants)
    return f"Certificate {want.requester}: {why}" if why else ""


def why_unavailable(
    want: RoutedCopy, source: Rejection | Issuance | None, now: datetime
) -> tuple[Reason, str]:
    """Why OPS has nothing to copy."""
    if source is None:
        return Reason.MISSING_ON_SOURCE if want.literal else Reason.GONE_FROM_SOURCE, ""
    return source.reason(now) if isinstance(source, Issuance) else source.reason, source.detail


def find_obstacle(current: TargetSecret, owner: Owner, keys: AbstractSet[str] = frozenset()) -> Reason | None:
    """Why an existing Secret can't be written, whatever its content; None where it can.

    `keys` are the further keys that the copy gets.
    """
    return next(_obstacles(current, owner, keys), None)


def _obstacles(current: TargetSecret, owner: Owner, keys: AbstractSet[str]) -> Iterator[Reason]:
    """Yield the reasons in their order: the first one is shown."""
    if current.terminating:
        yield Reason.TERMINATING
    if current.managed_by is not None:
        yield current.managed_by
    if ownership.has_other_owner(current, owner):
        yield Reason.OWNED_BY_ANOTHER_OWNER
    if ownership.is_from_other_source_cluster(current, owner):
        yield Reason.OWNED_BY_ANOTHER_SOURCE_CLUSTER
    if not may_write(current, owner):
        yield Reason.OWNED_BY_OTHER
    if current.type != annotations.SECRET_TYPE:
        yield Reason.TYPE_DIFFERS
    if ownership.keys_to_lose(current, owner, keys):
        yield Reason.ADOPTION_WOULD_LOSE_KEYS
    if current.immutable:
        yield Reason.IMMUTABLE


def obstacle_detail(obstacle: Reason, current: TargetSecret, owner: Owner, keys: AbstractSet[str]) -> str:
    """What a person must know beyond the reason's sentence."""
    if obstacle is Reason.OWNED_BY_ANOTHER_SOURCE_CLUSTER:
        return ownership.describe_source_cluster(current)
    if obstacle is Reason.ADOPTION_WOULD_LOSE_KEYS:
        return join_limited(sorted(ownership.keys_to_lose(current, owner, keys)))
    return ""


def compare(
    want: RoutedCopy, source: Certificate, current: TargetSecret, *, newer: bool
) -> tuple[Action, Reason]:
    """What to do with a copy of ours."""
    if ownership.is_drifted(current, source):
        # The annotations of an edited copy prove nothing: only a copy that was read can be newer.
        downgrade = current.was_read and newer
        return (Action.REFUSE, Reason.WOULD_DOWNGRADE) if downgrade else (Action.UPDATE, Reason.DRIFTED)
    sent_from = current.annotations.get(annotations.SOURCE, "")
    if sent_from.rpartition("/")[2] != source.ref.name:
        return Action.UPDATE, Reason.SOURCE_CHANGED
    if newer:
        return Action.REFUSE, Reason.WOULD_DOWNGRADE
    if sent_from != str(source.ref):
        return Action.UPDATE, Reason.SOURCE_CHANGED
    if current.annotations.get(annotations.FINGERPRINT) != source.version.fingerprint:
        return Action.UPDATE, Reason.CERTIFICATE_RENEWED
    return compare_route(want, source, current)


def compare_route(want: RoutedCopy, source: Certificate, current: TargetSecret) -> tuple[Action, Reason]:
    """What to do with a copy that has this very certificate."""
    if further.recorded(current) != further.record_of(source, want.keys):
        return Action.UPDATE, Reason.KEYS_CHANGED
    if not ownership.carries(current, want.metadata):
        return Action.UPDATE, Reason.METADATA_CHANGED
    return Action.KEEP, Reason.IN_SYNC


def adopt(*, newer: bool) -> tuple[Action, Reason]:
    """What to do with a Secret that asks to be adopted; only one that was read can be newer."""
    return (Action.REFUSE, Reason.WOULD_DOWNGRADE) if newer else (Action.UPDATE, Reason.ADOPTED)


def is_newer(current: TargetSecret, old: Version | None, source: Certificate, now: datetime) -> bool:
    """Whether the target's certificate must not be replaced: fit, of a later notBefore, and not expired."""
    if old is None or current.unfit:
        return False
    return old.not_before > source.version.not_before and old.not_after > now


def with_preconditions(
    change: Change, want: RoutedCopy, source: Certificate, current: TargetSecret
) -> Change:
    """The update, bound to the uid and resourceVersion that the decision was made on."""
    adopted = change.reason is Reason.ADOPTED
    removed = [annotations.ADOPT, *[annotations.LAST_APPLIED] * current.has_last_applied] if adopted else []
    # Its certificate is back: a copy that someone edits before each run would keep its record otherwise.
    removed += sorted(annotations.ORPHAN_MARKS & current.annotations.keys())
    return replace(
        change,
        uid=current.uid,
        resource_version=current.resource_version,
        extra_keys=tuple(sorted(extra_keys(want, source, current, adopted=adopted))),
        extra_annotations=tuple(removed),
    )


def extra_keys(
    want: RoutedCopy, source: Certificate, current: TargetSecret, *, adopted: bool
) -> frozenset[str]:
    """The keys that a patch must remove before our apply, which removes only what we alone have sent."""
    ours, sent = current.managed.ours or frozenset(), want.keys | frozenset(source.keys)
    foreign = (current.managed.others | (current.keys - ours)) - sent
    return foreign | (ours - sent) if foreign or adopted else frozenset()


def unrouted_copies(
    cluster: Cluster,
    snapshot: SourceSnapshot,
    found: dict[SecretRef, TargetSecret],
    wanted: set[SecretRef],
    owner: Owner,
) -> Iterator[Change]:
    """The rows of our copies that no route asks for any more: they are kept and reported."""
    left = [one for one in found.values() if one.ref not in wanted and ownership.is_ours(one, owner)]
    if not left:
        return
    routing = Routing(cluster)
    for secret in left:
        source = secret.annotations[annotations.SOURCE].rpartition("/")[2]
        name = source if is_name(source) else "unknown"
        routed = routing.leads_to(name, secret.ref)
        unknown = snapshot.requests_unread and not routed and _may_be_asked_for(cluster, secret.ref, name)
        gone = name not in snapshot.entries and routed
        reason = Reason.GONE_FROM_SOURCE if gone else Reason.NO_LONGER_ROUTED
        yield Change(
            action=Action.KEEP,
            reason=Reason.SOURCE_UNREAD if unknown else reason,
            target=secret.ref,
            certificate=name,
            old=ownership.written_version(secret),
            detail="nor could the Certificates, of which one may ask for it" if unknown else "",
        )


def _may_be_asked_for(cluster: Cluster, target: SecretRef, name: str) -> bool:
    return target.name == name and any(
        route.granted_by and target.namespace in route.namespaces and route.concerns(name)
        for route in cluster.routes
    )


def with_orphan_record(row: Change, found: Mapping[SecretRef, TargetSecret], owner: Owner) -> Change:
    """The row; with the copy's orphan record where its certificate is gone, or was gone earlier."""
    secret = found.get(row.target)
    if row.writes or secret is None:
        return row
    is_marked = not annotations.ORPHAN_MARKS.isdisjoint(secret.annotations)
    concerned = row.reason is Reason.GONE_FROM_SOURCE or is_marked  # few rows: the cheap test first
    if not (concerned and ownership.is_ours(secret, owner)):
        return row
    record = ownership.orphan_record_of(secret, owner)
    return replace(row, uid=secret.uid, resource_version=secret.resource_version, absence=record)


def must_read_first(plan: Plan, current: Mapping[SecretRef, TargetSecret]) -> tuple[SecretRef, ...]:
    """The Secrets that must be read before they can be replaced or refused.

    What someone else wrote could be newer than OPS's certificate; what is newer could be unfit for any use.
    """
    doubtful = (c.target for c in plan.changes if c.reason in DOUBTFUL)
    return tuple(ref for ref in doubtful if not current[ref].was_read)


def downgrades(plan: Plan) -> frozenset[str]:
    """The certificates of which the target has a newer copy: OPS may have renewed them since the list."""
    return frozenset(c.certificate for c in plan.changes if c.reason is Reason.WOULD_DOWNGRADE)
