"""Finds the namespaces of a target that ask for certificates by a label, and lists those that let us.

The owner of a namespace labels it, and binds our role there: labelled and not bound, it is Forbidden. A
namespace that is bound and has lost its label is listed, too, so that its copies are told as NoLongerRouted.
"""

from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import NamedTuple

from tasks.config.schema import Cluster
from tasks.domain.errors import ClusterError
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import Failure
from tasks.domain.names import SERVICE_ACCOUNT, is_protected
from tasks.domain.text import join_limited
from tasks.kube.client import ClusterClient
from tasks.plan.observed import ObservedState
from tasks.plan.spec import SyncSpec
from tasks.target.read import list_namespaces

MAX_SELECTED = 100
"""Maximum number of namespaces of one cluster that a selector may match."""
MAX_COPIES = 10_000
"""Maximum number of copies of one cluster that a selector may define."""


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


def select(target: ClusterClient, spec: SyncSpec) -> Selection:
    """Ask for the namespaces of each selector, and for those that are bound. Raises transient ClusterErrors.

    Where a run is for one certificate, only the selectors that decide where it goes count.
    """
    found, failures, warnings = dict[str, tuple[str, ...]](), list[Failure](), list[str]()
    for selector in spec.cluster.selectors_of(spec.certificate):
        try:
            names = sorted(target.namespaces(selector))
        except ClusterError as error:
            _keep(error, failures)
            continue
        if barred := [one for one in names if is_protected(one)]:
            warnings.append(f"protected namespaces with {selector} get nothing: {join_limited(barred)}")
        names = [one for one in names if not is_protected(one)]
        if too_many := _too_many(spec, selector, len(names)):
            failures.append(_too_wide(spec.cluster, selector, too_many))
        else:
            found[selector] = tuple(names)
    try:
        bound = tuple(sorted(target.namespaces_with_binding(binding_name(target.user))))
    except ClusterError as error:
        _keep(error, failures)
        return Selection({}, (), tuple(failures), tuple(warnings))
    return Selection(found, bound, tuple(failures), tuple(warnings))


def list_selected(
    target: ClusterClient, spec: SyncSpec, observed: ObservedState
) -> tuple[SyncSpec, Selection]:
    """List the Secrets of bound namespaces. Returns the spec with those that have the label, too.

    Raises ClusterError after a transient failure.
    """
    chosen = select(target, spec)
    bound = {*chosen.bound}
    observed.failures += chosen.failures
    observed.failures += (_unbound(spec, one, target.user) for one in sorted(chosen.labelled - bound))
    for failure in _list(target, bound - observed.namespaces, observed):
        if failure.code is not FailureCode.FORBIDDEN:
            observed.failures.append(failure)
        elif (namespace := failure.what.rpartition(" ")[2]) in chosen.labelled:  # another role is bound
            observed.failures.append(_unbound(spec, namespace, target.user))
    there = bound & observed.namespaces
    found = {
        selector: tuple(one for one in names if one in there) for selector, names in chosen.found.items()
    }
    observed.is_partial = bool(chosen.failures)
    return replace(spec, cluster=spec.cluster.with_selected(found)), chosen._replace(found=found)


def _list(target: ClusterClient, namespaces: AbstractSet[str], observed: ObservedState) -> list[Failure]:
    part = ObservedState()
    list_namespaces(target, sorted(namespaces), part)
    observed.namespaces |= part.namespaces
    observed.secrets |= part.secrets
    return part.failures


def _unbound(spec: SyncSpec, namespace: str, user: str) -> Failure:
    return Failure(
        code=FailureCode.FORBIDDEN,
        cluster=spec.cluster.name,
        what=f"list secrets in {namespace}",
        detail=f"labelled, and not bound: {binding_command(namespace, user)}",
    )


def binding_name(user: str) -> str:
    """Return the name that a RoleBinding to us must have, which is that of the ClusterRole, too.

    That of a Role for a namespace in a route has another name: it allows no label to decide.
    """
    return f"{account_of(user)[1]}-receiver"


def binding_command(namespace: str, user: str) -> str:
    """Return what the owner of a namespace types to let us write certificates there.

    `user` is what the server calls us; it is shown only if it is a ServiceAccount.
    """
    where, name = account_of(user)
    who = f"--serviceaccount={where}:{name}" if where else "--user=USER"
    role = binding_name(user)
    return f"kubectl --namespace {namespace} create rolebinding {role} --clusterrole={role} {who}"


def account_of(user: str) -> tuple[str, str]:
    """Return namespace and name of a ServiceAccount; for another user, no namespace and our usual name."""
    found = SERVICE_ACCOUNT.fullmatch(user)
    return (found[1], found[2]) if found else ("", "tls-sync")


def _keep(error: ClusterError, failures: list[Failure]) -> None:
    if error.failure.transient:
        raise error
    failures.append(error.failure)


def _too_many(spec: SyncSpec, selector: str, namespaces: int) -> str:
    """Return what exceeds a limit; empty where nothing does."""
    if namespaces > MAX_SELECTED:
        return f"{namespaces:,} namespaces; at most {MAX_SELECTED} may have it"
    routes = [route for route in spec.cluster.routes if route.selector == selector]
    names = spec.snapshot.names
    certificates = sum(len(names.overlapping(one)) for route in routes for one in route.certificates)
    copies = certificates * namespaces
    return f"{copies:,} copies; at most {MAX_COPIES:,} may result" if copies > MAX_COPIES else ""


def _too_wide(cluster: Cluster, selector: str, detail: str) -> Failure:
    return Failure(
        code=FailureCode.SELECTOR_TOO_WIDE,
        cluster=cluster.name,
        what=f"list namespaces with {selector}",
        detail=f"{detail}, so none of them gets anything",
    )
