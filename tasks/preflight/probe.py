"""Checks on OPS and each target whether runs can work. It writes nothing: writes are tried as dry runs.

It sends the same requests as a run and needs no further permission. diagnose.py interprets the responses.
"""

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from tasks.config.limits import CLUSTER_SECONDS
from tasks.config.schema import Cluster, Source, SyncConfig
from tasks.domain.annotations import FIELD_MANAGER
from tasks.domain.errors import ClusterError, ConfigError, internal_error
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import Discovery, Failure, Issuance, SecretRef, SourceSnapshot
from tasks.domain.parameters import RunParameters
from tasks.kube.client import ClusterClient
from tasks.kube.discovery import discover
from tasks.kube.permissions import REQUIRED_OF_CREDENTIALS, REQUIRED_ON_OPS, Permissions, required_verbs
from tasks.kube.pool import access_of
from tasks.kube.secret_manifest import tls_secret_manifest
from tasks.kubeconfig.reader import MAX_CONNECTIONS, Access, connect, contexts
from tasks.plan import ownership
from tasks.plan.spec import SyncSpec
from tasks.plan.unrouted import concerned_by, without_unrouted
from tasks.preflight import diagnose
from tasks.preflight.diagnose import DryRunResult
from tasks.preflight.missing import (
    missing_findings,
    not_allowed_findings,
    unused_findings,
    verify_findings,
)
from tasks.preflight.model import Check, CheckStatus, Finding, Preflight, Readiness, RenewalWindow
from tasks.preflight.schedule import shortest_window
from tasks.preflight.selected import selection_findings
from tasks.runtime.shutdown import stop
from tasks.source.issuance import CertificateStatus, add_status, issuance_of
from tasks.target.selected import select

MAX_CLUSTERS_AT_ONCE = 16


def preflight(config: SyncConfig, cluster: str | None = None) -> Preflight:
    """Check OPS, then the targets side by side. Raises ConfigError if the kubeconfig can't be read at all."""
    if config.uses_kubeconfig:
        try:
            contexts()
        except ClusterError as error:
            raise ConfigError(f"kubeconfig: {error.failure.detail}") from None
    config, discovery = discover(config, RunParameters(cluster=cluster))
    # A suspended cluster may be named: it is checked before it comes back.
    targets = config.named(cluster) if cluster else config.select(RunParameters())
    ops = _checked(config.source.label, lambda one: _check_ops(one, config, targets, discovery))

    def check(target: Cluster) -> Readiness:
        found = _checked(target.name, lambda one: _check_target(one, target, config, ops.uid))
        findings = diagnose.lacking_findings(found.findings, is_named=cluster is not None)
        return found.model_copy(update={"findings": tuple(findings)})

    with ThreadPoolExecutor(MAX_CLUSTERS_AT_ONCE) as pool:
        try:
            found = list(pool.map(check, targets))
        except BaseException:  # Ctrl-C or Prefect's SIGTERM; no write is in progress
            stop(grace=0)
            raise
    left_out = () if cluster else config.suspended
    return Preflight(
        ops=ops,
        clusters=diagnose.with_duplicates(found, config.clusters, targets),
        suspended=left_out,
        served_by="" if config.task_runner.type == "threads" else f"{config.task_runner.type} workers",
    )


class _Probe:
    """The findings about one cluster so far, and the check that is being made."""

    def __init__(self, cluster: str) -> None:
        self.cluster, self.uid, self.who = cluster, "", ""
        self.check = Check.CONTEXT
        self.findings: list[Finding] = []
        self.shortest: RenewalWindow | None = None


def _checked(cluster: str, run_checks: Callable[[_Probe], None]) -> Readiness:
    probe = _Probe(cluster)
    try:
        run_checks(probe)
    except ClusterError as error:
        probe.findings += diagnose.failure_findings(error.failure, probe.check)
    except Exception as error:  # noqa: BLE001  its text may contain a secret, so it goes no further
        probe.findings += diagnose.failure_findings(
            internal_error(cluster, "make the preflight", error), probe.check
        )
    findings = tuple(probe.findings)
    return Readiness(cluster=cluster, findings=findings, uid=probe.uid, shortest=probe.shortest)


@contextmanager
def _authenticated(probe: _Probe, connected: Callable[[float], Access]) -> Iterator[ClusterClient]:
    """Yield a client that the server has authenticated, and set the uid of the cluster."""
    deadline = time.monotonic() + CLUSTER_SECONDS
    access = connected(deadline)
    probe.findings.append(diagnose.credential_finding(access.expires_at, datetime.now(UTC)))
    with ClusterClient(probe.cluster, access, deadline) as client:
        probe.check = Check.IDENTITY
        probe.who = diagnose.printable_user(client.whoami())
        probe.findings += diagnose.connection_findings(probe.who)
        probe.check = Check.CLUSTER_ID
        probe.uid = client.cluster_id()
        yield client


def _check_ops(probe: _Probe, config: SyncConfig, targets: Sequence[Cluster], discovery: Discovery) -> None:
    source = config.source

    def connected(_: float) -> Access:
        return connect(probe.cluster, source.context, allow_exec=source.allow_exec)

    with _authenticated(probe, connected) as client:
        identity = diagnose.ops_cluster_id_finding(source, probe.uid)
        probe.findings.append(identity)
        if identity.status is CheckStatus.ERROR:
            return
        probe.check = Check.RIGHTS
        permissions = _permissions(client, source.namespace, REQUIRED_ON_OPS)
        probe.findings.append(diagnose.ops_permission_finding(source.namespace, permissions))
        if config.credentials:
            probe.findings += _credential_findings(client, config.credentials.namespace)
        probe.findings += diagnose.discovery_findings(discovery)
        if source.events and not client.can_i("create", source.namespace, "events"):
            probe.findings.append(diagnose.events_finding(source.namespace))
        if "list" in permissions.verbs or "*" in permissions.verbs:
            probe.check = Check.NAMESPACES
            _, versions = client.tls_versions(source.namespace, source.selector)
            statuses, failure = _certificates(client, source)
            issuances = _issuances(statuses, source.namespace, frozenset(versions))
            pending = without_unrouted(SourceSnapshot(issuances=issuances), config).issuances
            probe.shortest = shortest_window(statuses, concerned_by(config.clusters))
            probe.findings += diagnose.source_findings(
                source.namespace,
                len(versions),
                failure,
                len(pending),
                self_service=bool(config.self_service),
            )
            probe.findings += diagnose.issuance_findings(pending, datetime.now(UTC))
            awaited = {one.ref.name for one in issuances}
            held = versions.keys() | awaited
            probe.findings += missing_findings(targets, held)
            probe.findings += not_allowed_findings(targets, held)
            probe.findings += unused_findings(config)
            probe.findings += verify_findings(config)


def _credential_findings(client: ClusterClient, namespace: str) -> Iterator[Finding]:
    permissions = _permissions(client, namespace, REQUIRED_OF_CREDENTIALS)
    yield from diagnose.credential_permission_findings(namespace, permissions)


def _certificates(
    client: ClusterClient, source: Source
) -> tuple[dict[str, CertificateStatus], Failure | None]:
    """Return cert-manager's Certificates by the names of their Secrets; or why they can't be read."""
    statuses: dict[str, CertificateStatus] = {}
    try:
        for page in client.certificates(source.namespace):
            for certificate in page:
                add_status(statuses, certificate, source.selector)
    except ClusterError as error:
        if error.failure.code in (FailureCode.API_MISSING, FailureCode.FORBIDDEN):
            return {}, error.failure
        raise
    return statuses, None


def _issuances(
    statuses: dict[str, CertificateStatus], namespace: str, secrets: frozenset[str]
) -> tuple[Issuance, ...]:
    """Return the Certificates whose Secrets are not among these, and are yet to be issued."""
    now = datetime.now(UTC)
    found = (
        issuance_of(SecretRef(namespace=namespace, name=name), None, status, now)
        for name, status in sorted(statuses.items())
        if name not in secrets
    )
    return tuple(one for one in found if one)


def _check_target(probe: _Probe, cluster: Cluster, config: SyncConfig, ops: str) -> None:
    with _authenticated(probe, lambda deadline: access_of(config, cluster, deadline)) as client:
        identity = diagnose.cluster_id_finding(cluster, probe.uid, ops, client.pin)
        probe.findings += diagnose.address_findings(cluster, client.server)
        probe.findings.append(identity)
        if identity.status is CheckStatus.ERROR:
            return
        probe.check = Check.RIGHTS
        if cluster.selectors_of(None):
            chosen = select(client, SyncSpec(config, cluster, SourceSnapshot()))
            probe.findings += selection_findings(cluster, chosen, client.user)
            bound = {one: tuple(set(names) & {*chosen.bound}) for one, names in chosen.found.items()}
            cluster = cluster.with_selected(bound)
        names, verbs = cluster.namespaces_of(None), required_verbs(prune=cluster.prune)
        with ThreadPoolExecutor(MAX_CONNECTIONS) as pool:
            reviews = pool.map(lambda name: _permissions(client, name, verbs), names)
            permissions = dict(zip(names, reviews, strict=True))
            probe.findings += diagnose.permission_findings(cluster, permissions)
            probe.check = Check.NAMESPACES
            allowed = [name for name in names if not permissions[name].missing()]
            if not allowed:
                return
            tried = allowed if client.supports_dry_run(allowed[0], field_manager=FIELD_MANAGER) else []
            keys = ("tls.crt", "tls.key", *sorted(cluster.further_keys))
            results = pool.map(lambda name: _dry_run(client, name, config.owner, keys), tried)
            by_namespace = dict(zip(tried, results, strict=True))
        probe.findings += diagnose.dry_run_findings(cluster, probe.who, by_namespace)


def _permissions(client: ClusterClient, namespace: str, required: frozenset[str]) -> Permissions:
    """Review the permissions. If an authorizer can't list its rules, review each verb that is missing."""
    listed = client.permissions(namespace)
    if listed.complete or "*" in listed.verbs:
        return listed
    more = {verb for verb in sorted(required - listed.verbs) if client.can_i(verb, namespace)}
    return Permissions(verbs=listed.verbs | more)


def _dry_run(client: ClusterClient, namespace: str, owner: str, keys: Sequence[str]) -> DryRunResult:
    """Apply two Secrets as dry runs. They differ only in the labels that the shipped policy checks."""
    ref = SecretRef(namespace=namespace, name=f"tls-sync-preflight-{secrets.token_hex(4)}")
    try:
        ours = _manifest(ref, ownership.labels(owner), keys)
        client.dry_run_apply(ref, ours, field_manager=FIELD_MANAGER)
    except ClusterError as error:
        # SERVER_ERROR may come from a webhook that is down, so it is a result.
        if error.failure.transient and error.failure.code is not FailureCode.SERVER_ERROR:
            raise
        return DryRunResult(error.failure)
    try:
        client.dry_run_apply(ref, _manifest(ref, {}, keys), field_manager=FIELD_MANAGER)
    except ClusterError as error:
        if error.failure.code not in (FailureCode.FORBIDDEN, FailureCode.INVALID):
            raise
        return DryRunResult(policy_enforced=True)
    return DryRunResult()


def _manifest(ref: SecretRef, labels: dict[str, str], keys: Sequence[str]) -> dict[str, Any]:
    """Return a Secret with empty values: the dry run needs no key."""
    return tls_secret_manifest(ref, dict.fromkeys(keys, b""), labels=labels, annotations={})
