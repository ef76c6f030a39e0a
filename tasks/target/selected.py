"""Finds the namespaces of a target that ask for certificates by a label, and lists those that let us.

The owner of a namespace labels it, and binds our role there: labelled and not bound, it is Forbidden. A
namespace that is bound and has lost its label is listed, too, so that its copies are told as NoLongerRouted.
"""

import re
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import NamedTuple

from tasks.config.schema import Cluster
from tasks.domain.errors import ClusterError
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import Failure
from tasks.domain.names import is_protected
from tasks.domain.text import join_limited
from tasks.kube.client import ClusterClient
from tasks.plan.observed import ObservedState
from tasks.plan.spec import SyncSpec
from tasks.target.read import list_namespaces

MAX_SELECTED = 100
"""Maximum number of namespaces of one cluster that a selector may match."""
SERVICE_ACCOUNT = re.compile(r"system:serviceaccount:([-a-z0-9]{1,63}):([-.a-z0-9]{1,253})")
RECEIVER_SUFFIX = "-receiver"
"""The ClusterRole that owners bind has the name of our account, and this suffix."""


class Selection(NamedTuple):
    """What the labels of a target say."""

    found: dict[str, tuple[str, ...]]
    """The namespaces that have the labels, by selector."""
    bound: tuple[str, ...] = ()
    """Namespaces with a binding, labelled or not."""
    failures: tuple[Failure, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def labelled(self) -> frozenset[str]:
        return frozenset(one for several in self.found.values() for one in several)


def select(target: ClusterClient, cluster: Cluster, certificate: str | None = None) -> Selection:
    """Ask for the namespaces of each selector, and for those that are bound. Raises transient ClusterErrors.

    With `certificate`, only the selectors of routes that send it count.
    """
    found, failures, warnings = dict[str, tuple[str, ...]](), list[Failure](), list[str]()
    for selector in cluster.selectors_of(certificate):
        try:
            names = sorted(target.namespaces(selector))
        except ClusterError as error:
            _keep(error, failures)
            continue
        if barred := [one for one in names if is_protected(one)]:
            warnings.append(f"protected namespaces with {selector} get nothing: {join_limited(barred)}")
        names = [one for one in names if not is_protected(one)]
        if len(names) > MAX_SELECTED:
            failures.append(_too_wide(cluster, selector, len(names)))
        else:
            found[selector] = tuple(names)
    try:
        bound = tuple(sorted(target.namespaces_with_binding(account_of(target.user)[1])))
    except ClusterError as error:
        _keep(error, failures)
        bound = ()
    return Selection(found, bound, tuple(failures), tuple(warnings))


def list_selected(
    target: ClusterClient, spec: SyncSpec, observed: ObservedState
) -> tuple[SyncSpec, Selection]:
    """List the Secrets of the namespaces that are labelled or bound. Returns the spec with what was listed.

    Raises ClusterError after a transient failure.
    """
    chosen = select(target, spec.cluster, spec.certificate)
    unbound = _list(target, chosen.labelled - observed.namespaces, observed)
    others = _list(target, {*chosen.bound} - chosen.labelled - observed.namespaces, observed)
    observed.failures += chosen.failures
    observed.failures += (with_binding(one, target.user) for one in unbound)
    observed.failures += (one for one in others if one.code is not FailureCode.FORBIDDEN)
    found = {
        selector: tuple(one for one in names if one in observed.namespaces)
        for selector, names in chosen.found.items()
    }
    return replace(spec, cluster=spec.cluster.with_selected(found)), chosen._replace(found=found)


def _list(target: ClusterClient, namespaces: AbstractSet[str], observed: ObservedState) -> list[Failure]:
    part = ObservedState()
    list_namespaces(target, sorted(namespaces), part)
    observed.namespaces |= part.namespaces
    observed.secrets |= part.secrets
    return part.failures


def with_binding(failure: Failure, user: str) -> Failure:
    """Return the failure; where a namespace did not let us, with the command by which its owner does."""
    if failure.code is not FailureCode.FORBIDDEN:
        return failure
    namespace = failure.what.rpartition(" ")[2]
    return failure.model_copy(
        update={"detail": f"labelled, and not bound: {binding_command(namespace, user)}"}
    )


def binding_command(namespace: str, user: str) -> str:
    """Return what the owner of a namespace types to let us write certificates there.

    `user` is what the server calls us; it is shown only if it is a ServiceAccount.
    """
    where, name = account_of(user)
    who = f"--serviceaccount={where}:{name}" if where else "--user=USER"
    role = f"--clusterrole={name}{RECEIVER_SUFFIX}"
    return f"kubectl --namespace {namespace} create rolebinding {name} {role} {who}"


def account_of(user: str) -> tuple[str, str]:
    """Return namespace and name of a ServiceAccount; for another user, no namespace and our usual name."""
    found = SERVICE_ACCOUNT.fullmatch(user)
    return (found[1], found[2]) if found else ("", "tls-sync")


def _keep(error: ClusterError, failures: list[Failure]) -> None:
    if error.failure.transient:
        raise error
    failures.append(error.failure)


def _too_wide(cluster: Cluster, selector: str, count: int) -> Failure:
    return Failure(
        code=FailureCode.SELECTOR_TOO_WIDE,
        cluster=cluster.name,
        what=f"list namespaces with {selector}",
        detail=f"{count:,} namespaces; at most {MAX_SELECTED} may have it, so none of them gets anything",
    )
