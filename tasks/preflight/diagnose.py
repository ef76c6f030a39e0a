"""What follows from a cluster's answers in a preflight: findings, with remedies. Pure."""

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

from tasks.config.limits import MAX_CERTIFICATES
from tasks.config.schema import Cluster, Source
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import Failure, Issuance
from tasks.domain.reasons import Reason
from tasks.kube.permissions import ALLOWED_ON_OPS, REQUIRED_ON_OPS, Permissions, required_verbs
from tasks.kubeconfig.expiry import expiry_warnings
from tasks.preflight.model import Check, Finding, Mark, Readiness

NO_TALK = frozenset(
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
PLACES = {
    FailureCode.KUBECONFIG: Check.CONTEXT,
    FailureCode.EXEC_FAILED: Check.IDENTITY,
    FailureCode.TLS_FAILED: Check.TLS,
    FailureCode.UNAUTHORIZED: Check.IDENTITY,
    FailureCode.WRONG_CLUSTER: Check.CLUSTER_ID,
} | dict.fromkeys(NO_TALK, Check.REACHABLE)
"""Which check a failure belongs to, whatever was asked when it came."""

SERVICE_ACCOUNT = re.compile(r"system:serviceaccount:[-a-z0-9]{1,63}:[-.a-z0-9]{1,253}")
ON_OPS = "apply deployments/source/rbac.yaml on OPS"
RENEW = "renew it: `python -m deployments.target kubeconfig`"
BARRED = "the rights are there: look at the quota, the webhooks and the policies of the namespace"
BARRING = frozenset({FailureCode.FORBIDDEN, FailureCode.INVALID, FailureCode.SERVER_ERROR})


class DryRunResult(NamedTuple):
    """What became, in a dry run, of a Secret like ours, and of one that our policy denies."""

    trouble: Failure | None = None
    """Why a Secret like ours would not be let in."""
    guarded: bool = False


def on_target(cluster: str) -> str:
    return f"apply what `python -m deployments.target manifests --cluster {cluster}` prints"


def known_as(user: str) -> str:
    """A ServiceAccount by its name. Other names could hold anything: a server makes them up."""
    return user if SERVICE_ACCOUNT.fullmatch(user) else "a user that is no ServiceAccount"


def fine(check: Check, text: str = "") -> Finding:
    return Finding(check=check, mark=Mark.FINE, text=text)


def of_failure(failure: Failure, asked: Check) -> list[Finding]:
    """A failure, under the check that it belongs to; on the way there, what must have gone well."""
    code = failure.code
    check = PLACES.get(code, asked)
    ways = [Check.CONTEXT, Check.REACHABLE, Check.TLS]
    passed = ways[: ways.index(check)] if check in ways else ways
    if code is FailureCode.EXEC_FAILED:
        passed = [Check.CONTEXT]
    detail = f" ({failure.detail})" if failure.detail else ""
    text = f"{failure.what}: {code.sentence}{detail}"
    bad = Finding(check=check, mark=Mark.BAD, name=str(code), text=text, remedy=_remedy(code, check))
    return [*map(fine, passed), bad]


def _remedy(code: FailureCode, check: Check) -> str:
    if code is FailureCode.FORBIDDEN and check is Check.IDENTITY:
        return "look for a proxy that drops the credential; every known user may ask this"
    if code is FailureCode.FORBIDDEN and check is Check.CLUSTER_ID:
        return "apply deployments/target/rbac.yaml; on OPS, deployments/source/rbac.yaml"
    return code.remedy


def of_greeting(who: str) -> list[Finding]:
    """The server has answered, and knows us."""
    return [fine(Check.CONTEXT), fine(Check.REACHABLE), fine(Check.TLS), fine(Check.IDENTITY, who)]


def of_credential(ends: datetime | None, now: datetime) -> Finding:
    if ends is None:
        return fine(Check.CREDENTIAL, "renewed by itself, or without an end that can be read")
    if ends <= now:
        text = f"it ended at {ends:%Y-%m-%d %H:%M} UTC"
        return Finding(check=Check.CREDENTIAL, mark=Mark.BAD, name="Expired", text=text, remedy=RENEW)
    for warning in expiry_warnings(ends, now):
        text = warning.removesuffix("; renew it")
        return Finding(check=Check.CREDENTIAL, mark=Mark.LOOK, name="EndsSoon", text=text, remedy=RENEW)
    return fine(Check.CREDENTIAL, f"until {ends:%Y-%m-%d %H:%M} UTC")


def of_uid(cluster: Cluster, uid: str, ops: str) -> Finding:
    """Whether a target is the one that the configuration means."""
    if cluster.cluster_id not in (None, uid):
        return _wrong_cluster(f"pinned {cluster.cluster_id}, found {uid}")
    if uid == ops:
        return _wrong_cluster("it is OPS itself")
    if cluster.cluster_id is None:
        return _not_pinned(f"put `clusterId: {uid}` into its entry in the configuration")
    return fine(Check.CLUSTER_ID, uid)


def of_uid_of_ops(source: Source, uid: str) -> Finding:
    if source.cluster_id not in (None, uid):
        return _wrong_cluster(f"pinned {source.cluster_id}, found {uid}")
    if source.cluster_id is None:
        return _not_pinned(f"put `clusterId: {uid}` into `source` in the configuration")
    return fine(Check.CLUSTER_ID, uid)


def _not_pinned(remedy: str) -> Finding:
    text = "nothing pins the identity of this cluster"
    return Finding(check=Check.CLUSTER_ID, mark=Mark.LOOK, name="NotPinned", text=text, remedy=remedy)


def _wrong_cluster(text: str) -> Finding:
    code = FailureCode.WRONG_CLUSTER
    return Finding(check=Check.CLUSTER_ID, mark=Mark.BAD, name=str(code), text=text, remedy=code.remedy)


def with_neighbours(
    found: Iterable[Readiness], clusters: Iterable[Cluster], chosen: Iterable[Cluster]
) -> tuple[Readiness, ...]:
    """Two entries that lead to one cluster: told of those that no clusterId holds apart."""
    found, pins = list(found), {one.name: one.cluster_id for one in clusters}
    uids = {name: pin for name, pin in pins.items() if pin} | {
        one.cluster: one.uid for one in found if one.uid
    }
    told = []
    for one, cluster in zip(found, chosen, strict=True):
        same = [name for name, uid in uids.items() if name != one.cluster and uid == one.uid]
        if one.uid and same and not cluster.cluster_id:
            wrong = _wrong_cluster(f"it is the cluster of {', '.join(sorted(same))}, too")
            one = one.model_copy(update={"findings": (*one.findings, wrong)})  # noqa: PLW2901
        told.append(one)
    return tuple(told)


def of_rights(cluster: Cluster, rights: Mapping[str, Permissions]) -> Iterator[Finding]:
    """What the credential may do with Secrets of each namespace; namespaces in the same case together."""
    remedy, verbs = on_target(cluster.name), required_verbs(prune=cluster.prune)
    for missing, names in _grouped({name: one.missing(verbs) for name, one in rights.items()}):
        text = f"{names}: {', '.join(missing)} on secrets missing"
        if missing == tuple(sorted(verbs)):
            text = f"{names}: no right on secrets: the namespace is missing, or its Role"
            unknown = f"{names}: without a right there, nobody says whether it exists"
            yield Finding(check=Check.NAMESPACES, mark=Mark.UNKNOWN, text=unknown, remedy=remedy)
        yield _lacking(text, remedy)
    code, mark = FailureCode.EXCESSIVE_RIGHTS, Mark.BAD if cluster.protected else Mark.LOOK
    for excess, names in _grouped({name: one.excess(verbs) for name, one in rights.items()}):
        text = f"{names}: {', '.join(excess)} on secrets not needed"
        yield Finding(check=Check.RIGHTS, mark=mark, name=str(code), text=text, remedy=code.remedy)
    if not any(one.missing(verbs) or one.excess(verbs) for one in rights.values()):
        yield fine(Check.RIGHTS, f"as needed in {', '.join(rights)}")


def of_rights_on_ops(namespace: str, rights: Permissions) -> Finding:
    missing = tuple(sorted(REQUIRED_ON_OPS - rights.verbs)) if "*" not in rights.verbs else ()
    excess = tuple(sorted(rights.verbs - ALLOWED_ON_OPS))
    if missing:
        return _lacking(f"{namespace}: {', '.join(missing)} on secrets missing", ON_OPS)
    if excess:
        code, text = FailureCode.EXCESSIVE_RIGHTS, f"{namespace}: {', '.join(excess)} on secrets not needed"
        remedy = "bind the Role of deployments/source to the ServiceAccount, and nothing else"
        return Finding(check=Check.RIGHTS, mark=Mark.LOOK, name=str(code), text=text, remedy=remedy)
    return fine(Check.RIGHTS, f"as needed in {namespace}")


def _lacking(text: str, remedy: str) -> Finding:
    return Finding(
        check=Check.RIGHTS, mark=Mark.BAD, name=str(FailureCode.FORBIDDEN), text=text, remedy=remedy
    )


def _grouped(cases: Mapping[str, tuple[str, ...]]) -> Iterator[tuple[tuple[str, ...], str]]:
    for case in dict.fromkeys(case for case in cases.values() if case):
        yield case, ", ".join(name for name, one in cases.items() if one == case)


def of_sources(namespace: str, count: int, certificates: Failure | None, awaited: int) -> Iterator[Finding]:
    """What OPS holds, without having read any of it; and how many it is to get."""
    found = f"{count} TLS Secret{'' if count == 1 else 's'} in {namespace}"
    if count > MAX_CERTIFICATES:
        remedy, name = FailureCode.TOO_MANY.remedy, str(FailureCode.TOO_MANY)
        text = f"{found}, at most {MAX_CERTIFICATES:,}"
        yield Finding(check=Check.NAMESPACES, mark=Mark.BAD, name=name, text=text, remedy=remedy)
    elif count or awaited:
        yield fine(Check.NAMESPACES, found)
    else:
        remedy = "check source.namespace and source.selector, and what cert-manager has issued"
        yield Finding(check=Check.NAMESPACES, mark=Mark.LOOK, name="Empty", text=found, remedy=remedy)
    if certificates:
        text = f"cert-manager's Certificates can't be read ({certificates.code}); the Secrets alone decide"
        remedy = f"{ON_OPS}, if cert-manager runs there"
        yield Finding(
            check=Check.RIGHTS, mark=Mark.LOOK, name=str(certificates.code), text=text, remedy=remedy
        )
    else:
        yield fine(Check.RIGHTS, "cert-manager's Certificates can be read")


def of_issuances(issuances: Iterable[Issuance], now: datetime) -> Iterator[Finding]:
    """What cert-manager has yet to issue for the routes; to be looked at only where it is late."""
    for one in issuances:
        reason = one.reason(now)
        text = f"{one.ref.name}: {reason.sentence} ({one.detail})"
        if reason is Reason.ISSUANCE_LATE:
            name, remedy = str(reason), reason.remedy
            yield Finding(check=Check.NAMESPACES, mark=Mark.LOOK, name=name, text=text, remedy=remedy)
        else:
            yield fine(Check.NAMESPACES, text)


def of_rehearsals(cluster: Cluster, who: str, rehearsals: Mapping[str, DryRunResult]) -> Iterator[Finding]:
    """Whether each namespace would take a Secret of ours, and the policy keep out what isn't ours."""
    if not rehearsals:
        yield Finding(check=Check.POLICY, mark=Mark.UNKNOWN, text="it could not be asked by a dry run")
        return
    for name, one in rehearsals.items():
        if one.trouble:
            code, detail = one.trouble.code, f" ({one.trouble.detail})" if one.trouble.detail else ""
            text = f"{name}: it would not take a Secret of ours: {code.sentence}{detail}"
            remedy = BARRED if code in BARRING else code.remedy
            yield Finding(check=Check.NAMESPACES, mark=Mark.BAD, name=str(code), text=text, remedy=remedy)
            yield Finding(check=Check.POLICY, mark=Mark.UNKNOWN, text=f"{name}: it could not be asked")
        else:
            yield fine(Check.NAMESPACES, name)
    open_to_all = ", ".join(name for name, one in rehearsals.items() if not (one.trouble or one.guarded))
    if open_to_all:
        text = f"{open_to_all}: a Secret that isn't ours could be written: no policy binds {who}"
        remedy = "apply deployments/target/admission-policy.yaml; it must name this user"
        mark = Mark.BAD if cluster.protected else Mark.LOOK
        yield Finding(check=Check.POLICY, mark=mark, name="PolicyMissing", text=text, remedy=remedy)
    elif any(one.guarded for one in rehearsals.values()):
        yield fine(Check.POLICY, f"it binds {who}")
