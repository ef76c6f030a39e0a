"""`tls-sync rights`: prints what clusters must grant, and collects credentials."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.config.load import load_config
from tasks.config.schema import SyncConfig
from tasks.domain.errors import ConfigError
from tasks.domain.text import count_of
from tasks.setup import collection
from tasks.setup.capi import capi_kubeconfigs
from tasks.setup.discovery import discovered_with_kubectl, pin_command
from tasks.setup.errors import SetupError
from tasks.setup.kubectl import Kubectl
from tasks.setup.manifests import render, render_ops
from tasks.setup.places import InFile, InSecret, Place


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """What `tls-sync rights kubeconfig` is to do."""

    cluster: str | None
    account: str
    admin_kubeconfig: str | None
    contexts: dict[str, str]
    """Context in the operator's kubeconfig, by cluster."""
    servers: dict[str, str]
    """Address, by cluster."""
    duration: str
    ops_context: str | None
    namespace: str
    secret: str
    replace: bool
    file: str | None
    dry_run: bool
    capi: dict[str, str]
    """`namespace/name` of its Cluster API object, by cluster."""
    capi_context: str | None


def run(command: str, given: dict[str, Any]) -> int:
    try:
        if command == "manifests":
            return print_manifests(**given)
        if command == "pin":
            return print_pin(**given)
        pairs = {name: dict(given[name]) for name in ("contexts", "servers", "capi")}
        return collect(Credentials(**given | pairs))
    except (ConfigError, SetupError) as error:
        sys.stderr.write(f"tls-sync: {error}\n")
        return 1


def print_manifests(*, cluster: str | None, account: str, ops: bool, ops_context: str | None) -> int:
    config = load_config()
    if not ops:
        config = discovered_with_kubectl(config, Kubectl(ops_context or config.source.context), cluster)
    _refuse_application(config, account)
    if ops:
        sys.stdout.write(render_ops(config, account))
    else:
        sys.stdout.write(render(config.named(cluster), account))
    return 0


def print_pin(
    *, cluster: str, context: str | None, ops_context: str | None, admin_kubeconfig: str | None
) -> int:
    """Print the command that pins a discovered cluster, after asking which one it is."""
    config = load_config()
    ops = Kubectl(ops_context or config.source.context, admin_kubeconfig)
    asked = Kubectl(context or cluster, admin_kubeconfig)
    sys.stdout.write(f"{pin_command(config, cluster, asked, ops)}\n")
    return 0


def collect(given: Credentials) -> int:
    """Return exit status 0 if no credential is missing that is wanted."""
    config = load_config()
    config = _with_discovered(given, config) if config.discover else config
    _refuse_application(config, given.account)
    wanted = collection.wanted_of(config, given.ops_context, given.contexts, given.servers)
    if given.cluster not in {one.name for one in wanted}:
        config.named(given.cluster)  # raises ConfigError, which names the clusters
    for name in sorted(given.capi.keys() - {one.name for one in wanted}):
        config.named(name)
    own = [one for one in wanted if one.own and given.cluster in (None, one.name)]
    together = [] if given.cluster and own else [one for one in wanted if not one.own]
    if given.file and own:
        names = ", ".join(one.name for one in own)
        raise SetupError(f"--file: {names} have no `context`, but a Secret each on OPS; leave --file out")
    management = Kubectl(given.capi_context or _ops(given, config), given.admin_kubeconfig)
    with capi_kubeconfigs(management, given.capi) as capi:
        collector = collection.Collector(
            given.admin_kubeconfig, given.duration, given.dry_run, given.account, capi
        )
        outcomes = _collect_own(given, config, collector, own) if own else []
        outcomes += _collect_together(given, config, collector, together) if together else []
    return 1 if any(one.failed for one in outcomes) else 0


def _with_discovered(given: Credentials, config: SyncConfig) -> SyncConfig:
    """Return the configuration with the announced cluster that is meant, or those that have a context."""
    found = discovered_with_kubectl(
        config, Kubectl(_ops(given, config), given.admin_kubeconfig), given.cluster
    )
    known = Kubectl(kubeconfig=given.admin_kubeconfig).contexts() | given.contexts.keys() | given.capi.keys()
    wanted = {*config.names, *known, *([given.cluster] if given.cluster else [])}
    return found.model_copy(update={"clusters": tuple(one for one in found.clusters if one.name in wanted)})


def _collect_together(
    given: Credentials, config: SyncConfig, collector: collection.Collector, wanted: list[collection.Wanted]
) -> list[collection.Outcome]:
    """Write one kubeconfig with a context for each of these clusters."""
    place = _place(given, config)
    outcomes = collection.collect(collector, wanted, given.cluster, place.read(), collector.contexts())
    _show(outcomes)
    if given.dry_run:
        sys.stdout.write(f"dry run: nothing was written to {place}\n")
    elif any(one.renewed for one in outcomes):
        collection.put(place, outcomes)
        sys.stdout.write(f"written{place.location}: {place}\n")
    else:
        left = "is unchanged" if place.exists else "was not created"
        raise SetupError(f"no credential could be renewed, so {place}{place.location} {left}")
    return outcomes


def _collect_own(
    given: Credentials, config: SyncConfig, collector: collection.Collector, wanted: list[collection.Wanted]
) -> list[collection.Outcome]:
    """Write the Secret of each of these clusters."""
    assert config.credentials
    kubectl, namespace = _kubectl_of_ops(given, config), config.credentials.namespace
    secrets = {one.name: config.credentials.secret_of(one.name).name for one in wanted}

    def place_of(cluster: str) -> Place:
        return InSecret(kubectl, namespace, secrets[cluster], replace=given.replace)

    outcomes = collection.collect_own(collector, wanted, collector.contexts(), place_of)
    _show(outcomes)
    count = count_of(sum(one.renewed for one in outcomes), "Secret")
    where = f"{count} in namespace {namespace} on OPS (context {kubectl.context})"
    sys.stdout.write(f"dry run: would write {where}\n" if given.dry_run else f"written: {where}\n")
    return outcomes


def _show(outcomes: list[collection.Outcome]) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in collection.lines(outcomes)))


def _refuse_application(config: SyncConfig, account: str) -> None:
    """Raise SetupError where the account would be in a namespace that certificates are copied to.

    Pods there could use it, and with it write to the namespaces of all other applications of the cluster.
    """
    for cluster in config.clusters:
        if account in cluster.namespaces_of(None):
            raise SetupError(
                f"--account {account}: namespace {account} is an application's (cluster {cluster.name} has a "
                "route to it), and its pods could use the ServiceAccount; take a name that no application has"
            )


def _place(given: Credentials, config: SyncConfig) -> Place:
    """Return where to write the one kubeconfig."""
    if given.file:
        return InFile(Path(given.file))
    return InSecret(_kubectl_of_ops(given, config), given.namespace, given.secret, replace=given.replace)


def _ops(given: Credentials, config: SyncConfig) -> str | None:
    """Return the context of OPS in the operator's kubeconfig, if it is known."""
    return given.ops_context or config.source.context


def _kubectl_of_ops(given: Credentials, config: SyncConfig) -> Kubectl:
    ops = _ops(given, config)
    if not ops:
        raise SetupError("no destination: set --ops-context CONTEXT, or --file FILE")
    kubectl = Kubectl(ops, given.admin_kubeconfig)
    known = Kubectl(kubeconfig=given.admin_kubeconfig).contexts()
    if ops not in known:
        remedy = "correct --ops-context" if given.ops_context else "set --ops-context <yours>"
        raise collection.no_context(ops, known, remedy)
    return kubectl
