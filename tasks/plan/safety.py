"""What is never written, whatever the plan says: checked before each write. Pure."""

from collections.abc import Iterable, Sequence
from functools import lru_cache

from tasks.config.routes import Grant, Route
from tasks.config.routing import Routing
from tasks.config.schema import Cluster
from tasks.domain.models import Action, Certificate, Change, Owner, Plan, SourceSnapshot, TargetSecret
from tasks.domain.names import HostnamePatterns, is_name, is_protected
from tasks.domain.text import join_limited
from tasks.plan import ownership
from tasks.plan.further import find_fault
from tasks.plan.ownership import may_write


class UnsafePlan(Exception):
    """A plan breaks a safety rule; nothing of it may be carried out."""


def ensure_safe(
    plan: Plan, cluster: Cluster, snapshot: SourceSnapshot, current: Iterable[TargetSecret], owner: Owner
) -> None:
    """Check every write of the plan against the facts, independently of the decision. Raises UnsafePlan."""
    found = {secret.ref: secret for secret in current}
    sources, routing = snapshot.by_name, Routing(cluster)
    targets = [change.target for change in plan.writes]
    if plan.cluster != cluster.name or len(set(targets)) != len(targets):
        raise UnsafePlan("it is for another cluster, or writes a Secret twice")
    for change in plan.writes:
        ensure_safe_write(change, routing, sources.get(change.certificate), found.get(change.target), owner)


def ensure_safe_write(
    change: Change, routing: Routing, source: Certificate | None, secret: TargetSecret | None, owner: Owner
) -> None:
    """Check one write against what OPS (`source`) and the target (`secret`) hold. Raises UnsafePlan."""
    routes = routing.routes_to(change.certificate, change.target)
    keys = next((route.further_keys for route in routes), frozenset[str]())
    rules = {
        "no route leads there": bool(routes),
        "beyond the limits of selfService": source is not None and not _is_beyond(source, routes),
        "a protected namespace": not is_protected(change.target.namespace),
        "not the name of a Secret": is_name(change.target.name),
        "no fit certificate to write": source is not None
        and (source.ref.name, source.version) == (change.certificate, change.new),
        "a name that may not be sent": source is not None and not disallowed_names(source, routing.hostnames),
        "a key that may not be sent": source is None or not find_fault(source, keys),
        "a create of what exists": change.action is not Action.CREATE or secret is None,
        "an update of what isn't ours": change.action is not Action.UPDATE
        or (secret is not None and may_write(secret, owner) and change.uid == secret.uid),
        "an adoption that would lose keys": secret is None or not ownership.keys_to_lose(secret, owner, keys),
        "it is not known which OPS this is": bool(owner.cluster_id),
        "an update without a version": change.action is not Action.UPDATE or bool(change.resource_version),
    }
    broken = [rule for rule, holds in rules.items() if not holds]
    if broken:
        raise UnsafePlan(f"{change.target}: {', '.join(broken)}")


def _is_beyond(source: Certificate, routes: Sequence[Route]) -> bool:
    """Whether only a request leads to this copy, and no limit that covers it allows the names."""
    return bool(routes) and all(beyond_limits(source, one.granted_by) for one in routes)


def beyond_limits(source: Certificate, grants: Sequence[Grant]) -> str:
    """What the limits of `selfService` don't allow; empty where one allows all names, or nobody asked."""
    refused = [(one.limit, disallowed_names(source, _patterns(one.hostnames))) for one in grants]
    if not all(names for _, names in refused):
        return ""
    return "; ".join(f"{limit} does not allow {names}" for limit, names in refused)


@lru_cache(maxsize=1000)
def _patterns(hostnames: tuple[str, ...]) -> HostnamePatterns:
    return HostnamePatterns(hostnames)


def disallowed_names(source: Certificate, hostnames: HostnamePatterns) -> str:
    """The names of the certificate that the cluster's `hostnames` don't allow; empty where there are none."""
    disallowed = [name for name in source.dns_names if not hostnames.allow(name)]
    disallowed += source.other_names
    if not source.dns_names:
        disallowed.append("no DNS name at all")
    return join_limited([name or "an empty name" for name in disallowed])
