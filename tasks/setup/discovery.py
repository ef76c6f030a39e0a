"""Clusters that announce themselves, for an operator: found, and pinned, with their own kubectl."""

import json
import shlex

from tasks.config.discovered import expand
from tasks.config.schema import SyncConfig
from tasks.domain.annotations import PIN
from tasks.domain.names import OPS, UID, is_namespace
from tasks.domain.parameters import RunParameters
from tasks.kube.cluster_profiles import PROFILES_API, parse_profile
from tasks.setup.errors import SetupError
from tasks.setup.kubectl import Kubectl

KIND = f"clusterprofiles.{PROFILES_API.partition('/')[0]}"


def discovered_with_kubectl(config: SyncConfig, ops: Kubectl, cluster: str | None = None) -> SyncConfig:
    """Return the configuration with the clusters that OPS announces.

    Raises SetupError, and ConfigError where this cluster is announced and lacks something. Nothing is asked
    where the configuration has that cluster.
    """
    if config.discover is None or cluster in (*config.names, OPS):
        return config
    if not ops.context:
        raise SetupError("clusters are announced on OPS: say which one it is by --ops-context CONTEXT")
    wanted = config.discover.cluster_profiles
    labels = ",".join(f"{key}={value}" for key, value in sorted(wanted.selector.items()))
    options = [
        f"--namespace={wanted.namespace}",
        "--output=json",
        *([f"--selector={labels}"] if labels else []),
    ]
    try:
        items = json.loads(ops.run("get", KIND, *options))["items"]
    except (KeyError, TypeError, ValueError):
        raise SetupError("what kubectl prints is no list; look at it with kubectl get") from None
    profiles = [profile for item in items if (profile := parse_profile(item))]
    return expand(config, profiles).for_run(RunParameters(cluster=cluster)).config


def pin_command(config: SyncConfig, cluster: str, asked: Kubectl, ops: Kubectl) -> str:
    """Return the command that pins a discovered cluster to the one that answers. Raises SetupError."""
    if not (config.discover and config.credentials):
        raise SetupError("rights pin goes with `discover`; an entry under `clusters` has its own clusterId")
    if not is_namespace(cluster):
        raise SetupError(f"{cluster!r} is not the name of a cluster")
    if cluster in config.names:
        raise SetupError(f"{cluster} has an entry in the configuration: set clusterId there")
    if not ops.context:
        raise SetupError("no destination: set --ops-context CONTEXT, where the Secret of the cluster is")
    known = asked.contexts()
    if asked.context not in known:
        has = ", ".join(sorted(known)) or "none"
        raise SetupError(
            f"no context {asked.context} in your kubeconfig, which has: {has}; set --context <yours>"
        )
    uid, uid_of_ops = _uid(asked), _uid(ops)
    others = {one.cluster_id: one.name for one in config.clusters if one.cluster_id} | {uid_of_ops: OPS}
    if uid in others:
        raise SetupError(
            f"context {asked.context} leads to {others[uid]}; give the one of {cluster} by --context"
        )
    ref = config.credentials.secret_of(cluster)
    command = (
        "kubectl",
        "--context",
        ops.context,
        "--namespace",
        ref.namespace,
        "annotate",
        "secret",
        ref.name,
    )
    return shlex.join((*command, f"{PIN}={uid}"))


def _uid(kubectl: Kubectl) -> str:
    found = kubectl.run("get", "namespace", "kube-system", "--output=jsonpath={.metadata.uid}")
    if not UID.fullmatch(found):
        raise SetupError(f"what context {kubectl.context} answers is no uid; look at it with kubectl get")
    return found
