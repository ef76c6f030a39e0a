"""Asks OPS and each target whether runs can work. Writes nothing anywhere: what must be tried is a dry run.

It goes the way of a run and needs no right more than one. What follows from the answers: diagnose.py.
"""

import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from tasks.config.limits import CLUSTER_SECONDS
from tasks.config.schema import Cluster, Source, SyncConfig
from tasks.domain.annotations import FIELD_MANAGER
from tasks.domain.errors import ClusterError, ConfigError, internal_error
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import Failure, Issuance, SecretRef, SourceSnapshot
from tasks.domain.parameters import RunParameters
from tasks.kube.client import ClusterClient
from tasks.kube.permissions import REQUIRED_ON_OPS, Permissions, required_verbs
from tasks.kube.secret_manifest import tls_secret_manifest
from tasks.kubeconfig.reader import MAX_CONNECTIONS, connect, contexts
from tasks.plan import ownership
from tasks.plan.unrouted import routed
from tasks.preflight import diagnose
from tasks.preflight.diagnose import DryRunResult
from tasks.preflight.model import Check, Finding, Mark, Preflight, Readiness
from tasks.runtime.shutdown import stop
from tasks.source.issuance import CertificateStatus, add_status, issuance_of

SIDE_BY_SIDE = 16


def preflight(config: SyncConfig, cluster: str | None = None) -> Preflight:
    """OPS first, then the targets side by side. Raises ConfigError where nothing can be asked at all."""
    # A suspended cluster may be asked for: how else to know that it can come back?
    targets = config.named(cluster) if cluster else config.select(RunParameters())
    try:
        contexts()
    except ClusterError as error:
        raise ConfigError(f"kubeconfig: {error.failure.detail}") from None
    ops = _visited(config.source.label, lambda visit: _visit_ops(visit, config))

    def visited(target: Cluster) -> Readiness:
        return _visited(target.name, lambda visit: _visit_target(visit, target, config.owner, ops.uid))

    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        try:
            found = list(pool.map(visited, targets))
        except BaseException:  # Ctrl-C, or what Prefect makes of a SIGTERM; no write is under way
            stop(grace=0)
            raise
    left_out = () if cluster else config.suspended
    return Preflight(
        ops=ops,
        clusters=diagnose.with_neighbours(found, config.clusters, targets),
        suspended=left_out,
        served_by="" if config.task_runner.type == "threads" else f"{config.task_runner.type} workers",
    )


class _Visit:
    """What is found in one cluster, step by step."""

    def __init__(self, cluster: str) -> None:
        self.cluster, self.uid, self.who = cluster, "", ""
        self.step = Check.CONTEXT
        self.findings: list[Finding] = []


def _visited(cluster: str, call: Callable[[_Visit], None]) -> Readiness:
    visit = _Visit(cluster)
    try:
        call(visit)
    except ClusterError as error:
        visit.findings += diagnose.of_failure(error.failure, visit.step)
    except Exception as error:  # noqa: BLE001  its text could hold anything, so it ends here
        visit.findings += diagnose.of_failure(
            internal_error(cluster, "make the preflight", error), visit.step
        )
    return Readiness(cluster=cluster, findings=tuple(visit.findings), uid=visit.uid)


@contextmanager
def _greeted(visit: _Visit, context: str | None, *, allow_exec: bool) -> Iterator[ClusterClient]:
    """A cluster that knows us, and whose uid we know."""
    access = connect(visit.cluster, context, allow_exec=allow_exec)
    visit.findings.append(diagnose.of_credential(access.expires_at, datetime.now(UTC)))
    with ClusterClient(visit.cluster, access, time.monotonic() + CLUSTER_SECONDS) as client:
        visit.step = Check.IDENTITY
        visit.who = diagnose.known_as(client.whoami())
        visit.findings += diagnose.of_greeting(visit.who)
        visit.step = Check.CLUSTER_ID
        visit.uid = client.cluster_id()
        yield client


def _visit_ops(visit: _Visit, config: SyncConfig) -> None:
    source = config.source
    with _greeted(visit, source.context, allow_exec=source.allow_exec) as client:
        same = diagnose.of_uid_of_ops(source, visit.uid)
        visit.findings.append(same)
        if same.mark is Mark.BAD:
            return
        visit.step = Check.RIGHTS
        rights = _rights(client, source.namespace, REQUIRED_ON_OPS)
        visit.findings.append(diagnose.of_rights_on_ops(source.namespace, rights))
        if "list" in rights.verbs or "*" in rights.verbs:
            visit.step = Check.NAMESPACES
            _, secrets = client.tls_versions(source.namespace, source.selector)
            issuances, unread = _issuances(client, source, frozenset(secrets))
            awaited = routed(SourceSnapshot(issuances=issuances), config).issuances
            visit.findings += diagnose.of_sources(source.namespace, len(secrets), unread, len(awaited))
            visit.findings += diagnose.of_issuances(awaited, datetime.now(UTC))


def _issuances(
    client: ClusterClient, source: Source, secrets: frozenset[str]
) -> tuple[tuple[Issuance, ...], Failure | None]:
    """What Certificates are to bring beside these Secrets; or why they can't be read."""
    statuses: dict[str, CertificateStatus] = {}
    try:
        for page in client.certificates(source.namespace):
            for certificate in page:
                add_status(statuses, certificate, source.selector)
    except ClusterError as error:
        if error.failure.code in (FailureCode.API_MISSING, FailureCode.FORBIDDEN):
            return (), error.failure
        raise
    now = datetime.now(UTC)
    found = (
        issuance_of(SecretRef(namespace=source.namespace, name=name), None, status, now)
        for name, status in sorted(statuses.items())
        if name not in secrets
    )
    return tuple(one for one in found if one), None


def _visit_target(visit: _Visit, cluster: Cluster, owner: str, ops: str) -> None:
    with _greeted(visit, cluster.context, allow_exec=cluster.allow_exec) as client:
        same = diagnose.of_uid(cluster, visit.uid, ops)
        visit.findings.append(same)
        if same.mark is Mark.BAD:
            return
        visit.step = Check.RIGHTS
        names, verbs = cluster.namespaces_of(None), required_verbs(prune=cluster.prune)
        with ThreadPoolExecutor(MAX_CONNECTIONS) as pool:
            reviews = pool.map(lambda name: _rights(client, name, verbs), names)
            rights = dict(zip(names, reviews, strict=True))
            visit.findings += diagnose.of_rights(cluster, rights)
            visit.step = Check.NAMESPACES
            allowed = [name for name in names if not rights[name].missing()]
            if not allowed:
                return
            asked = allowed if client.supports_dry_run(allowed[0], field_manager=FIELD_MANAGER) else []
            tried = pool.map(lambda name: _rehearse(client, name, owner), asked)
            rehearsals = dict(zip(asked, tried, strict=True))
        visit.findings += diagnose.of_rehearsals(cluster, visit.who, rehearsals)


def _rights(client: ClusterClient, namespace: str, needed: frozenset[str]) -> Permissions:
    """Where an authorizer can't list its rules, it is asked for each verb that it did not name."""
    rights = client.permissions(namespace)
    if rights.complete or "*" in rights.verbs:
        return rights
    more = {verb for verb in sorted(needed - rights.verbs) if client.can_i(verb, namespace)}
    return Permissions(verbs=rights.verbs | more)


def _rehearse(client: ClusterClient, namespace: str, owner: str) -> DryRunResult:
    """Two Secrets in a dry run, which differ only in what the shipped policy looks at."""
    ref = SecretRef(namespace=namespace, name=f"tls-sync-preflight-{secrets.token_hex(4)}")
    try:
        client.dry_run_apply(ref, _manifest(ref, ownership.labels(owner)), field_manager=FIELD_MANAGER)
    except ClusterError as error:
        if (
            error.failure.transient and error.failure.code is not FailureCode.SERVER_ERROR
        ):  # a webhook that is down
            raise
        return DryRunResult(error.failure)
    try:
        client.dry_run_apply(ref, _manifest(ref, {}), field_manager=FIELD_MANAGER)
    except ClusterError as error:
        if error.failure.code not in (FailureCode.FORBIDDEN, FailureCode.INVALID):
            raise
        return DryRunResult(guarded=True)
    return DryRunResult()


def _manifest(ref: SecretRef, labels: dict[str, str]) -> dict[str, Any]:
    """Return a Secret with empty values: the dry run needs no key."""
    return tls_secret_manifest(ref, {"tls.crt": b"", "tls.key": b""}, labels=labels, annotations={})
