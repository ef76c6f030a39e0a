"""Collects an inventory: OPS, a dry run of each cluster, and what addresses serve. Writes nothing."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from tasks.config.limits import CLUSTER_SECONDS, refuse_too_many
from tasks.config.schema import Cluster, SyncConfig
from tasks.domain.errors import ClusterError, ConfigError, internal_error
from tasks.domain.models import ClusterReport, SourceSnapshot
from tasks.domain.parameters import RunParameters
from tasks.inventory.evaluate import build_report, probes_for
from tasks.inventory.model import InventoryReport
from tasks.kube.discovery import discover
from tasks.kube.pool import client_of_source
from tasks.kubeconfig.reader import contexts
from tasks.plan.observed import ObservedState
from tasks.plan.requests import granted
from tasks.plan.spec import RunMemory, SyncSpec
from tasks.plan.unrouted import without_unrouted
from tasks.runtime.memory import memory_limit
from tasks.runtime.shutdown import stop
from tasks.served import tls_probe
from tasks.served.compare import ProbeResults
from tasks.source.read import read_source
from tasks.target.sync import preview

MAX_CONCURRENCY = 16
"""Maximum number of clusters that are read at the same time."""
Previews = dict[str, tuple[ClusterReport, ObservedState]]
"""The dry run of each cluster, and what it read there, by the cluster's name."""


def collect_inventory(
    config: SyncConfig, cluster: str | None = None, certificate: str | None = None
) -> InventoryReport:
    """Read OPS, then all clusters and addresses at the same time.

    Raises ConfigError if the parameters or the kubeconfig can't be used, or if there are too many copies.
    """
    if config.uses_kubeconfig:
        try:
            contexts()
        except ClusterError as error:
            raise ConfigError(f"kubeconfig: {error.failure.detail}") from None
    config, discovery = discover(config, RunParameters(cluster=cluster))
    _selected(config, cluster, certificate)
    config, snapshot = granted(config, _read_ops(config))
    targets = _selected(config, cluster, certificate)
    if not snapshot.failure and (
        failure := refuse_too_many(
            snapshot, config.source, targets, certificate, limit=memory_limit()
        ).failure
    ):
        raise ConfigError(f"{failure}. To do: ask for one cluster, or for one certificate")
    # Not specs_for(), which has no specs without OPS: the copies are shown all the same.
    parameters = RunParameters(cluster=cluster, certificate=certificate, dry_run=True)
    memory = RunMemory()  # one for all, so that two entries for one cluster are noticed
    specs = [SyncSpec(config, one, snapshot, parameters, memory=memory) for one in targets]
    previews, results = _read_targets(specs)
    unserved = [report.lacks for report, _ in previews.values() if report.lacks]
    previews = {name: found for name, found in previews.items() if not found[0].lacks}
    specs = [spec for spec in specs if spec.cluster.name in previews]
    return build_report(
        without_unrouted(snapshot, config),
        specs,
        previews,
        results,
        now=datetime.now(UTC),
        certificate=certificate,
        suspended=() if cluster else config.suspended,
        discovery=discovery.with_unserved(unserved),
    )


def _selected(config: SyncConfig, cluster: str | None, certificate: str | None) -> tuple[Cluster, ...]:
    """Return the clusters to read. A suspended one can be selected by its name, since nothing is written."""
    if cluster is None:
        return config.select(RunParameters(certificate=certificate))
    found = config.named(cluster)
    active = tuple(one.model_copy(update={"suspended": False}) for one in found)
    parameters = RunParameters(cluster=cluster, certificate=certificate)
    config.model_copy(update={"clusters": active}).select(parameters)  # raises if it is not routed there
    return found


def _read_ops(config: SyncConfig) -> SourceSnapshot:
    source = config.source
    try:
        with client_of_source(source, time.monotonic() + CLUSTER_SECONDS) as client:
            return read_source(client, source, datetime.now(UTC), with_requests=bool(config.self_service))
    except ClusterError as error:
        return SourceSnapshot(failure=error.failure)
    except Exception as error:  # noqa: BLE001  its text could contain anything, so it ends here
        return SourceSnapshot(failure=internal_error(source.label, "read the certificates", error))


def _read_targets(specs: Sequence[SyncSpec]) -> tuple[Previews, ProbeResults]:
    probes = {probe for spec in specs for probe in probes_for(spec)}
    with ThreadPoolExecutor(MAX_CONCURRENCY + 1) as pool:
        try:
            served = pool.submit(tls_probe.probe_all, probes)
            previews = dict(pool.map(_preview, specs))
            return previews, served.result()
        except BaseException:  # Ctrl-C, or what Prefect raises on SIGTERM; no write is in progress
            stop(grace=0)
            raise


def _preview(spec: SyncSpec) -> tuple[str, tuple[ClusterReport, ObservedState]]:
    name = spec.cluster.name
    try:
        return name, preview(spec, time.monotonic() + CLUSTER_SECONDS)
    except Exception as error:  # noqa: BLE001  its text could contain anything, so it ends here
        failure = internal_error(name, "look at the cluster", error)
        return name, (ClusterReport(cluster=name, dry_run=True, failures=(failure,)), ObservedState())
