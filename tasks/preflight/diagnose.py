"""Turns a cluster's responses in a preflight into findings with remedies. Pure."""

import shlex
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

from tasks.config.discovered import ADDRESS_DIFFERS, CORRECT_IT, SETUP, address_difference, pinned_id
from tasks.config.limits import MAX_CERTIFICATES
from tasks.config.schema import Cluster, Source
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import Discovery, Failure, Issuance
from tasks.domain.names import SERVICE_ACCOUNT
from tasks.domain.reasons import Reason
from tasks.kube.permissions import (
    ALLOWED_ON_OPS,
    REQUIRED_OF_CREDENTIALS,
    REQUIRED_ON_OPS,
    Permissions,
    required_verbs,
)
from tasks.kubeconfig.expiry import expiry_warnings
from tasks.preflight.model import Check, CheckStatus, Finding, Readiness
from tasks.report.unserved import unserved_texts

NOT_PINNED, POLICY_MISSING = "NotPinned", "PolicyMissing"
NO_CONNECTION = frozenset(
    {
        FailureCode.UNREACHABLE,
        FailureCode.CONNECTION_LOST,
        FailureCode.TIMEOUT,
        FailureCode.DEADLINE,
        FailureCode.INTERRUPTED,
        FailureCode.THROTTLED,
        FailureCode.SERVER_ERROR,
        FailureCode.PROTOCOL,
        FailureCode.TOO_MUCH,
        FailureCode.API_MISSING,
    }
)
CHECKS = {
    FailureCode.KUBECONFIG: Check.CONTEXT,
    FailureCode.NO_CREDENTIAL: Check.CONTEXT,
    FailureCode.NOT_PINNED: Check.CLUSTER_ID,
    FailureCode.EXEC_FAILED: Check.IDENTITY,
    FailureCode.TLS_FAILED: Check.TLS,
    FailureCode.UNAUTHORIZED: Check.IDENTITY,
    FailureCode.WRONG_CLUSTER: Check.CLUSTER_ID,
} | dict.fromkeys(NO_CONNECTION, Check.REACHABLE)
"""The check that a failure belongs to, whichever operation failed."""

ON_OPS = "apply what `tls-sync rights manifests --ops` prints, on OPS"
ONLY_ON_OPS = (
    "bind the Role that `tls-sync rights manifests --ops` prints to the ServiceAccount, and no other"
)
RENEW = "renew it: `tls-sync rights kubeconfig`"
NOT_ADMITTED = "the permissions are there: look at the quota, the webhooks and the policies of the namespace"
REFUSALS = frozenset({FailureCode.FORBIDDEN, FailureCode.INVALID, FailureCode.SERVER_ERROR})


class DryRunResult(NamedTuple):
    """The result of a dry run for a Secret like ours, and for one that our policy denies."""

    failure: Failure | None = None
    """Why a Secret like ours would not be admitted."""
    policy_enforced: bool = False


def on_target(cluster: str) -> str:
    return f"apply what `tls-sync rights manifests --cluster {cluster}` prints"


def printable_user(user: str) -> str:
    """Return the name of a ServiceAccount. No other name is shown: a server may return any text."""
    return user if SERVICE_ACCOUNT.fullmatch(user) else "a user that is no ServiceAccount"


def ok(check: Check, text: str = "") -> Finding:
    return Finding(check=check, status=CheckStatus.OK, text=text)


def error(check: Check, name: str, text: str, remedy: str) -> Finding:
    return Finding(check=check, status=CheckStatus.ERROR, name=str(name), text=text, remedy=remedy)


def warning(check: Check, name: str, text: str, remedy: str) -> Finding:
    return Finding(check=check, status=CheckStatus.WARNING, name=str(name), text=text, remedy=remedy)


def unknown(check: Check, text: str, remedy: str = "") -> Finding:
    return Finding(check=check, status=CheckStatus.UNKNOWN, text=text, remedy=remedy)


def failure_findings(failure: Failure, current: Check) -> list[Finding]:
    """Return a failure under the check that it belongs to, and the checks that must have passed before.

    `current` is the check that was being made.
    """
    code = failure.code
    check = CHECKS.get(code, current)
    first = [Check.CONTEXT, Check.REACHABLE, Check.TLS]
    passed = first[: first.index(check)] if check in first else first
    if code is FailureCode.EXEC_FAILED:
        passed = [Check.CONTEXT]
    if code in SETUP:  # then no connection is made
        passed = []
    return [*map(ok, passed), error(check, code, failure.explanation, _remedy(code, check))]


def lacking_findings(findings: Iterable[Finding], *, is_named: bool) -> list[Finding]:
    """Return findings in which what a discovered cluster lacks fails only the check of that cluster."""
    return [
        one.model_copy(update={"status": CheckStatus.WARNING}) if one.name in SETUP and not is_named else one
        for one in findings
    ]


def discovery_findings(discovery: Discovery) -> Iterator[Finding]:
    """Return why announced clusters are not known, or what those lack that can't be served."""
    if failure := discovery.failure:
        remedy = ON_OPS if failure.code is FailureCode.FORBIDDEN else failure.code.remedy
        yield error(Check.RIGHTS, failure.code, failure.explanation, remedy)
    for code, text in unserved_texts(discovery):
        yield warning(Check.NAMESPACES, code, text, code.remedy)


def address_findings(cluster: Cluster, server: str) -> Iterator[Finding]:
    """Return a warning where the ClusterProfile has another address than the Secret."""
    if difference := address_difference(cluster, server):
        yield warning(Check.REACHABLE, ADDRESS_DIFFERS, difference, CORRECT_IT)


def _remedy(code: FailureCode, check: Check) -> str:
    if code is FailureCode.FORBIDDEN and check is Check.IDENTITY:
        return "look for a proxy that drops the credential; every authenticated user may do this"
    if code is FailureCode.FORBIDDEN and check is Check.CLUSTER_ID:
        return "apply what `tls-sync rights manifests` prints (on OPS: with --ops)"
    return code.remedy


def connection_findings(who: str) -> list[Finding]:
    """Return the checks that have passed once the server has authenticated us."""
    return [ok(Check.CONTEXT), ok(Check.REACHABLE), ok(Check.TLS), ok(Check.IDENTITY, who)]


def credential_finding(expires_at: datetime | None, now: datetime) -> Finding:
    if expires_at is None:
        return ok(Check.CREDENTIAL, "renewed automatically, or without an expiry that can be read")
    if expires_at <= now:
        text = f"it expired at {expires_at:%Y-%m-%d %H:%M} UTC"
        return error(Check.CREDENTIAL, "Expired", text, RENEW)
    for text in expiry_warnings(expires_at, now):
        return warning(Check.CREDENTIAL, "EndsSoon", text.removesuffix("; renew it"), RENEW)
    return ok(Check.CREDENTIAL, f"until {expires_at:%Y-%m-%d %H:%M} UTC")


def cluster_id_finding(cluster: Cluster, uid: str, ops: str, pin: str = "") -> Finding:
    """Return whether a target is the cluster that the configuration names, and not OPS."""
    pinned = pinned_id(cluster, pin)
    if pinned not in (None, uid):
        return _wrong_cluster(f"pinned {pinned}, found {uid}")
    if uid == ops:
        return _wrong_cluster("it is OPS itself")
    if pinned is None:
        return _not_pinned(f"put `clusterId: {uid}` into its entry in the configuration")
    return ok(Check.CLUSTER_ID, uid)


def ops_cluster_id_finding(source: Source, uid: str) -> Finding:
    if source.cluster_id not in (None, uid):
        return _wrong_cluster(f"pinned {source.cluster_id}, found {uid}")
    if source.cluster_id is None:
        return _not_pinned(f"put `clusterId: {uid}` into `source` in the configuration")
    return ok(Check.CLUSTER_ID, uid)


def _not_pinned(remedy: str) -> Finding:
    return warning(Check.CLUSTER_ID, NOT_PINNED, "nothing pins the identity of this cluster", remedy)


def _wrong_cluster(text: str) -> Finding:
    code = FailureCode.WRONG_CLUSTER
    return error(Check.CLUSTER_ID, code, text, code.remedy)


def with_duplicates(
    found: Iterable[Readiness], clusters: Iterable[Cluster], chosen: Iterable[Cluster]
) -> tuple[Readiness, ...]:
    """Add an error to each entry without a clusterId that leads to the same cluster as another entry."""
    found, pins = list(found), {one.name: one.cluster_id for one in clusters}
    uids = {name: pin for name, pin in pins.items() if pin} | {
        one.cluster: one.uid for one in found if one.uid
    }
    result = []
    for one, cluster in zip(found, chosen, strict=True):
        same = [name for name, uid in uids.items() if name != one.cluster and uid == one.uid]
        if one.uid and same and not cluster.cluster_id:
            wrong = _wrong_cluster(f"it is the cluster of {', '.join(sorted(same))}, too")
            one = one.model_copy(update={"findings": (*one.findings, wrong)})  # noqa: PLW2901
        result.append(one)
    return tuple(result)


def permission_findings(cluster: Cluster, permissions: Mapping[str, Permissions]) -> Iterator[Finding]:
    """Return the missing and the excess verbs on Secrets; namespaces with the same verbs share a finding."""
    verbs = required_verbs(prune=cluster.prune)
    for missing, found in _grouped({name: one.missing(verbs) for name, one in permissions.items()}):
        remedy, names = on_target(cluster.name), ", ".join(found)
        text = f"{names}: {', '.join(missing)} on secrets missing"
        if missing == tuple(sorted(verbs)):
            text = f"{names}: no right on secrets: the namespace is missing, or its Role"
            remedy = f"{_create_namespace(cluster, found)}; then {remedy}"
            unseen = f"{names}: without permissions there, the server does not say whether it exists"
            yield unknown(Check.NAMESPACES, unseen, remedy)
        yield _missing(text, remedy)
    code, finding = FailureCode.EXCESSIVE_RIGHTS, error if cluster.protected else warning
    for excess, found in _grouped({name: one.excess(verbs) for name, one in permissions.items()}):
        text = f"{', '.join(found)}: {', '.join(excess)} on secrets not needed"
        yield finding(Check.RIGHTS, code, text, code.remedy)
    if not any(one.missing(verbs) or one.excess(verbs) for one in permissions.values()):
        yield ok(Check.RIGHTS, f"as needed in {', '.join(permissions)}")


def ops_permission_finding(namespace: str, permissions: Permissions) -> Finding:
    missing = tuple(sorted(REQUIRED_ON_OPS - permissions.verbs)) if "*" not in permissions.verbs else ()
    excess = tuple(sorted(permissions.verbs - ALLOWED_ON_OPS))
    if missing:
        return _missing(f"{namespace}: {', '.join(missing)} on secrets missing", ON_OPS)
    if excess:
        code, text = FailureCode.EXCESSIVE_RIGHTS, f"{namespace}: {', '.join(excess)} on secrets not needed"
        return warning(Check.RIGHTS, code, text, ONLY_ON_OPS)
    return ok(Check.RIGHTS, f"as needed in {namespace}")


def credential_permission_findings(namespace: str, permissions: Permissions) -> Iterator[Finding]:
    """What is missing, and what is too much, in the namespace of the clusters' credentials; else nothing."""
    if permissions.missing(REQUIRED_OF_CREDENTIALS):
        yield _missing(f"{namespace}: get on secrets missing", ON_OPS)
    elif excess := permissions.excess(REQUIRED_OF_CREDENTIALS):
        code, text = FailureCode.EXCESSIVE_RIGHTS, f"{namespace}: {', '.join(excess)} on secrets not needed"
        yield warning(Check.RIGHTS, code, text, ONLY_ON_OPS)


def events_finding(namespace: str) -> Finding:
    """A warning: runs copy without Events."""
    return warning(Check.RIGHTS, FailureCode.FORBIDDEN, f"{namespace}: create on events missing", ON_OPS)


def _missing(text: str, remedy: str) -> Finding:
    return error(Check.RIGHTS, FailureCode.FORBIDDEN, text, remedy)


def _grouped(cases: Mapping[str, tuple[str, ...]]) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    for case in dict.fromkeys(case for case in cases.values() if case):
        yield case, [name for name, one in cases.items() if one == case]


def _create_namespace(cluster: Cluster, names: list[str]) -> str:
    """Return how to create namespaces: the manifests that grant rights there make none."""
    command = f"kubectl --context {shlex.quote(cluster.admin_context)} create namespace"
    command += f" {names[0]}" if len(names) == 1 else ' "$name"'
    if len(names) > 1:
        command = f"for name in {' '.join(names)}; do {command}; done"
    return f"if the namespace does not exist, create it, or have the application's owner do so (`{command}`)"


def source_findings(
    namespace: str, count: int, certificates: Failure | None, pending: int, *, self_service: bool = False
) -> Iterator[Finding]:
    """Return findings about the number of Secrets on OPS, and about access to cert-manager's Certificates.

    `certificates` is why these can't be read, which is an error where the configuration has `selfService`;
    `pending` is how many certificates are yet to be issued.
    """
    found = f"{count} TLS Secret{'' if count == 1 else 's'} in {namespace}"
    if count > MAX_CERTIFICATES:
        code, text = FailureCode.TOO_MANY, f"{found}, at most {MAX_CERTIFICATES:,}"
        yield error(Check.NAMESPACES, code, text, code.remedy)
    elif count or pending:
        yield ok(Check.NAMESPACES, found)
    else:
        remedy = "check source.namespace and source.selector, and what cert-manager has issued"
        yield warning(Check.NAMESPACES, "Empty", found, remedy)
    if certificates:
        text = f"cert-manager's Certificates can't be read ({certificates.code}); only the Secrets are used"
        remedy = f"{ON_OPS}, if cert-manager runs there"
        if self_service:
            yield error(Check.RIGHTS, certificates.code, f"{text}, and no request of selfService", remedy)
        else:
            yield warning(Check.RIGHTS, certificates.code, text, remedy)
    else:
        yield ok(Check.RIGHTS, "cert-manager's Certificates can be read")


def issuance_findings(issuances: Iterable[Issuance], now: datetime) -> Iterator[Finding]:
    """Return what cert-manager has yet to issue for the routes, with a warning if it is late."""
    for one in issuances:
        reason = one.reason(now)
        text = f"{one.ref.name}: {reason.sentence} ({one.detail})"
        if reason is Reason.ISSUANCE_LATE:
            yield warning(Check.NAMESPACES, reason, text, reason.remedy)
        else:
            yield ok(Check.NAMESPACES, text)


def dry_run_findings(cluster: Cluster, who: str, results: Mapping[str, DryRunResult]) -> Iterator[Finding]:
    """Return whether each namespace would accept a Secret of ours, and the policy would refuse others."""
    if not results:
        yield unknown(Check.POLICY, "it can't be checked: dry runs do not work here")
        return
    for name, one in results.items():
        if one.failure:
            code, detail = one.failure.code, f" ({one.failure.detail})" if one.failure.detail else ""
            text = f"{name}: it would not accept a Secret of ours: {code.sentence}{detail}"
            remedy = NOT_ADMITTED if code in REFUSALS else code.remedy
            if code is FailureCode.NAMESPACE_MISSING:
                remedy = f"{_create_namespace(cluster, [name])}, or take it out of the route"
            yield error(Check.NAMESPACES, code, text, remedy)
            yield unknown(Check.POLICY, f"{name}: it can't be checked")
        else:
            yield ok(Check.NAMESPACES, name)
    unprotected = ", ".join(name for name, one in results.items() if not (one.failure or one.policy_enforced))
    if unprotected:
        text = f"{unprotected}: a Secret that isn't ours could be written: no policy binds {who}"
        remedy = "apply what `tls-sync rights manifests` prints; its policy must name this user"
        finding = error if cluster.protected else warning
        yield finding(Check.POLICY, POLICY_MISSING, text, remedy)
    elif any(one.policy_enforced for one in results.values()):
        yield ok(Check.POLICY, f"it binds {who}")
