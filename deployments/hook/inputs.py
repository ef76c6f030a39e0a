"""Checks the configuration and the kubeconfig of runs before these are scheduled."""

from deployments.hook.errors import HookError
from tasks.config.load import load_config
from tasks.config.schema import SyncConfig
from tasks.domain.errors import ClusterError, ConfigError
from tasks.kubeconfig.reader import connect

REMEDY = (
    "Put the kubeconfig into the Secret that tlsSync.kubeconfigSecret names, in the release's namespace,\n"
    "under the key config, then run helm upgrade, or sync, again:\n"
    "  kubectl create secret generic tls-sync-kubeconfig --from-file=config=<file>"
)


def check_inputs() -> SyncConfig:
    """Return the configuration. Raises HookError with all that is wrong."""
    try:
        config = load_config()
    except ConfigError as error:
        raise HookError(f"tlsSync.config: {error}") from None
    # Clusters without a context have Secrets of their own, which the preflight of a run checks.
    clusters = [one for one in config.clusters if one.context is not None and not one.suspended]
    wanted = [(one.name, one.context, one.allow_exec) for one in clusters]
    if config.source.context:
        wanted.append((config.source.label, config.source.context, config.source.allow_exec))
    faults = {}
    for cluster, context, allow_exec in wanted:
        try:
            connect(cluster, context, allow_exec=allow_exec)
        except ClusterError as error:
            faults[cluster] = str(error)
    if faults:
        listed = "".join(f"\n  {cluster}: {fault}" for cluster, fault in faults.items())
        raise HookError(f"the kubeconfig does not serve tlsSync.config:{listed}\n{REMEDY}")
    return config
