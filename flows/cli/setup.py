"""The verbs that an operator uses once: `init`, `rights` and `completion`; and `watch`."""

from typing import Any

import click
from click.shell_completion import get_completion_class

from flows.cli.options import (
    DEFAULT,
    Action,
    NonEmpty,
    Pair,
    Qualified,
    calling,
    cluster,
    config,
    examples,
)
from tasks.domain.names import is_namespace, is_protected

ACCOUNT = "tls-sync"
SECRET = "tls-sync-kubeconfig"  # noqa: S105  a name, not a secret
COMPLETE = "_TLS_SYNC_COMPLETE"
"""The variable by which the shell asks for completions."""


@click.command(
    epilog=examples("tls-sync init", "tls-sync init --ops-context cluster-ops --file clusters.yaml"),
    short_help="Propose a configuration from the contexts of your kubeconfig.",
)
@click.option(
    "--file", type=NonEmpty(), default=DEFAULT, show_default=True, help="Write it there; not if it exists."
)
@click.option(
    "--ops-context", type=NonEmpty(), help="The context of OPS, where the guess by --namespace is wrong."
)
@click.option(
    "--namespace",
    type=NonEmpty(),
    default="certificates-ops",
    show_default=True,
    help="The namespace on OPS where cert-manager writes its Secrets.",
)
@click.option(
    "--from-argocd",
    is_flag=True,
    help="Take clusters from Argo CD's cluster Secrets: names and labels, no credential.",
)
@click.option(
    "--argocd-context", type=NonEmpty(), help="The context of the cluster with Argo CD, if it is not OPS."
)
@click.option(
    "--argocd-namespace",
    type=NonEmpty(),
    default="argocd",
    show_default=True,
    help="The namespace of Argo CD's cluster Secrets.",
)
def init(*, from_argocd: bool, argocd_context: str | None, argocd_namespace: str, **given: str) -> Action:
    """Write a configuration, with a guess of the routes.

    Your own kubectl asks the clusters of your kubeconfig for their clusterId and namespaces, and OPS for its
    Certificates. Nothing is written to a cluster. No Secret is read, except with --from-argocd: then your
    kubectl reads Argo CD's cluster Secrets, and prints only their names, addresses and labels.
    """
    if argocd_context and not from_argocd:
        raise click.UsageError("--argocd-context goes with --from-argocd")
    argocd = {"context": argocd_context, "namespace": argocd_namespace} if from_argocd else None
    return calling("init", given["file"], given["ops_context"], given["namespace"], argocd)


@click.group(short_help="What clusters must grant, and the credentials.")
def rights() -> None:
    """Print what OPS and the clusters must grant to tls-sync, and collect its credentials."""


class Account(NonEmpty):
    """A ServiceAccount's name, which is its namespace's, too: pods there can use the account."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        given = super().convert(value, param, ctx)
        if not is_namespace(given):
            self.fail(f"{given!r} is not a valid name of a namespace", param, ctx)
        if given != ACCOUNT and is_protected(given):
            self.fail(
                f"{given!r} is a namespace of others; take a new name, such as {ACCOUNT}-web", param, ctx
            )
        return given


account = click.option(
    "--account",
    type=Account(),
    default=ACCOUNT,
    show_default=True,
    help="Name of ServiceAccount, namespace, roles and policy; each further tls-sync that writes to the same "
    "targets needs another one.",
)


ops_context = click.option("--ops-context", type=NonEmpty(), help="The context of OPS in your kubeconfig.")
admin_kubeconfig = click.option(
    "--admin-kubeconfig", metavar="FILE", type=NonEmpty(), help="Yours, in place of kubectl's default."
)


@rights.command(
    epilog=examples(
        "tls-sync rights manifests --ops | kubectl --context cluster-ops apply --server-side -f -",
        "tls-sync rights manifests --cluster dev | kubectl --context cluster-dev apply --server-side -f -",
    )
)
@config
@cluster
@click.option(
    "--ops", is_flag=True, help="What OPS needs, for runs outside of pods; the chart brings its own."
)
@account
@ops_context
def manifests(**given: Any) -> Action:
    """Print account, roles and admission policy as YAML, for kubectl apply; of all targets by default."""
    if given["ops"] and given["cluster"]:
        raise click.UsageError("--ops and --cluster: one at a time")
    return calling("rights", "manifests", given)


@rights.command(
    epilog=examples(
        "tls-sync rights pin edge-7 --ops-context cluster-ops",
        "tls-sync rights pin edge-7 --context admin@edge-7 --ops-context cluster-ops",
    )
)
@config
@click.argument("cluster", type=NonEmpty())
@click.option("--context", type=NonEmpty(), help="The cluster's context in your kubeconfig, if not its name.")
@ops_context
@admin_kubeconfig
def pin(**given: Any) -> Action:
    """Ask a discovered CLUSTER which one it is, and print the kubectl command that pins it.

    Your own kubectl asks for the uid of its namespace kube-system. The command annotates the Secret with the
    kubeconfig of the cluster, and nothing is written to a cluster that has no such annotation.
    """
    return calling("rights", "pin", given)


@rights.command(
    epilog=examples(
        "tls-sync rights kubeconfig --file tls-sync.kubeconfig",
        "tls-sync rights kubeconfig --ops-context cluster-ops --cluster dev",
    )
)
@config
@click.option(
    "--cluster", type=NonEmpty(), help="Only this cluster, by its name in the configuration, or OPS."
)
@account
@admin_kubeconfig
@click.option(
    "--context",
    "contexts",
    metavar="CLUSTER=CONTEXT",
    type=Pair(),
    multiple=True,
    help="A cluster's context in your kubeconfig, where it differs.",
)
@click.option(
    "--server",
    "servers",
    metavar="CLUSTER=URL",
    type=Pair(),
    multiple=True,
    help="A cluster's address for OPS, where it differs from yours.",
)
@click.option("--duration", type=NonEmpty(), default="720h", show_default=True, help="Life of the tokens.")
@ops_context
@click.option(
    "--namespace", type=NonEmpty(), default=ACCOUNT, show_default=True, help="Namespace of the Secret."
)
@click.option("--secret", type=NonEmpty(), default=SECRET, show_default=True, help="Name of the Secret.")
@click.option(
    "--from-capi",
    "capi",
    metavar="CLUSTER=NAMESPACE/NAME",
    type=Pair(),
    multiple=True,
    help="A cluster's Cluster object of Cluster API: your kubectl makes the token with the kubeconfig that "
    "is kept beside it. Runs never use that one.",
)
@click.option(
    "--capi-context", type=NonEmpty(), help="The context of Cluster API's management cluster, if not OPS."
)
@click.option("--replace", is_flag=True, help="Overwrite a Secret that this command did not create.")
@click.option(
    "--file",
    "--output",
    "file",
    metavar="FILE",
    type=NonEmpty(),
    help="Write a file (mode 0600), not the Secret.",
)
@click.option("--dry-run", is_flag=True, help="Create no token, write nothing, and print what would happen.")
def kubeconfig(**given: Any) -> Action:
    """Collect a credential of each cluster, into one kubeconfig or into a Secret each.

    Your own kubectl gets the address, the CA and a new bound token of each cluster of the configuration. They
    are written into Secret tls-sync-kubeconfig (key config) on OPS; those of clusters without `context`
    each into its own Secret in credentials.namespace. The same command renews the tokens. A
    cluster that can't be reached keeps its entry; so does one with an exec plugin, a token file or a client
    certificate. No credential is printed or is in an argument.
    """
    return calling("rights", "kubeconfig", given)


@click.command(
    epilog=examples("tls-sync watch", "tls-sync watch --port 9090 --lease tls-sync/watch"),
    short_help="Copy each renewal at once, until Ctrl-C.",
)
@config
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="Of /healthz and /metrics."
)
@click.option(
    "--lease",
    metavar="NAMESPACE/NAME",
    type=Qualified(),
    help="Of several watchers, the one that holds this Lease is active.",
)
@click.option("--lease-context", type=NonEmpty(), help="Where the Lease is, if not in this cluster.")
def watch(*, port: int, lease: tuple[str, str] | None, lease_context: str | None) -> Action:
    """Follow the certificates of OPS, and copy each renewal at once, until SIGTERM or Ctrl-C."""
    if lease_context and not lease:
        raise click.UsageError("--lease-context goes with --lease")
    return calling("watch", port, *(lease or ("", "")), lease_context)


@click.command(
    epilog=examples("source <(tls-sync completion bash)", "tls-sync completion fish | source"),
    short_help="The script with which a shell completes verbs, options and clusters.",
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, /, *, shell: str) -> Action:
    """Print the script with which SHELL completes verbs, options and the names of clusters."""
    found = get_completion_class(shell)
    assert found
    script = found(ctx.find_root().command, {}, "tls-sync", COMPLETE).source()

    def show() -> int:
        click.echo(script)
        return 0

    return show
