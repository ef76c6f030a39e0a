"""Which certificate is where: OPS, the dry run of each cluster, and what is served. Writes nothing."""

import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from tasks.config.limits import CLUSTER_SECONDS, limit_copies
from tasks.config.schema import Cluster, SyncConfig
from tasks.domain.errors import ClusterError, ConfigError, internal_error
from tasks.domain.models import ClusterReport, SourceSnapshot
from tasks.domain.parameters import RunParameters
from tasks.inventory import tls_probe
from tasks.inventory.evaluate import make_survey, questions_of
from tasks.inventory.model import InventoryReport
from tasks.inventory.served import ServedCertificate, TLSProbe
from tasks.kube.pool import client_of_source
from tasks.kubeconfig.reader import contexts
from tasks.plan.observed import ObservedState
from tasks.plan.spec import SyncSpec, specs_for
from tasks.plan.unrouted import routed
from tasks.runtime.shutdown import stop
from tasks.source.read import read_source
from tasks.target.sync import preview

SIDE_BY_SIDE = 16


def survey(config: SyncConfig, cluster: str | None = None, certificate: str | None = None) -> InventoryReport:
    """OPS first, then clusters and addresses side by side. Raises ConfigError where nothing can be asked."""
    targets = _chosen(config, cluster, certificate)
    try:
        contexts()
    except ClusterError as error:
        raise ConfigError(f"kubeconfig: {error.failure.detail}") from None
    inventory = _read_ops(config)
    if not inventory.failure and (
        failure := limit_copies(inventory, config.source, targets, certificate).failure
    ):
        raise ConfigError(f"{failure}. To do: ask for one cluster, or for one certificate")
    specs = specs_for(config, targets, inventory, RunParameters(certificate=certificate, dry_run=True))
    found, answers = _ask(specs)
    return make_survey(
        routed(inventory, config),
        specs,
        found,
        answers,
        now=datetime.now(UTC),
        certificate=certificate,
        suspended=() if cluster else config.suspended,
    )


def _chosen(config: SyncConfig, cluster: str | None, certificate: str | None) -> tuple[Cluster, ...]:
    """A suspended cluster may be asked for by its name: a survey only reads."""
    if cluster is None:
        return config.select(RunParameters(certificate=certificate))
    found = config.named(cluster)
    awake = tuple(one.model_copy(update={"suspended": False}) for one in found)
    parameters = RunParameters(cluster=cluster, certificate=certificate)
    config.model_copy(update={"clusters": awake}).select(parameters)  # is it one that goes there?
    return found


def _read_ops(config: SyncConfig) -> SourceSnapshot:
    source = config.source
    try:
        with client_of_source(source, time.monotonic() + CLUSTER_SECONDS) as client:
            return read_source(client, source, datetime.now(UTC))
    except ClusterError as error:
        return SourceSnapshot(failure=error.failure)
    except Exception as error:  # noqa: BLE001  its text could hold anything, so it ends here
        return SourceSnapshot(failure=internal_error(source.label, "read the certificates", error))


def _ask(
    specs: Iterable[SyncSpec],
) -> tuple[dict[str, tuple[ClusterReport, ObservedState]], dict[TLSProbe, ServedCertificate | str]]:
    specs = list(specs)
    questions = {question for spec in specs for question in questions_of(spec)}
    with ThreadPoolExecutor(SIDE_BY_SIDE + 1) as pool:
        try:
            served = pool.submit(tls_probe.probe_all, questions)
            found = dict(pool.map(_view, specs))
            return found, served.result()
        except BaseException:  # Ctrl-C, or what Prefect makes of a SIGTERM; no write is under way
            stop(grace=0)
            raise


def _view(spec: SyncSpec) -> tuple[str, tuple[ClusterReport, ObservedState]]:
    name = spec.cluster.name
    try:
        return name, preview(spec, time.monotonic() + CLUSTER_SECONDS)
    except Exception as error:  # noqa: BLE001  its text could hold anything, so it ends here
        failure = internal_error(name, "look at the cluster", error)
        return name, (ClusterReport(cluster=name, dry_run=True, failures=(failure,)), ObservedState())
