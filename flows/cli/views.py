"""The verbs that only look: `inventory`, `preflight`, `history`, `logs` and `cluster-ids`."""

import click

from flows.cli.options import Action, NonEmpty, calling, certificate, cluster, config, examples, output


@click.command(
    epilog=examples("tls-sync inventory", "tls-sync inventory -o html --file inventory.html"),
    short_help="Which certificate is where, until when, and is it the right one?",
)
@config
@cluster
@certificate
@output("json", "html")
@click.option("--file", metavar="FILE", type=NonEmpty(), help="Write it there, not to the terminal.")
def inventory(*, cluster: str | None, certificate: str | None, output: str, file: str | None) -> Action:
    """Say which certificate is where, until when, and whether it is the right one. Write nothing.

    Exit status 0 where every wanted copy is in sync and no address serves another certificate than the
    stored one, else 1. It needs no Prefect server.
    """
    return calling("inventory", cluster, certificate, output=output, file=file)


@click.command(
    epilog=examples("tls-sync preflight", "tls-sync preflight --cluster dev"),
    short_help="Ask OPS and the clusters whether runs can work.",
)
@config
@cluster
@output("json")
def preflight(*, cluster: str | None, output: str) -> Action:
    """Ask OPS and the clusters whether runs can work, and what to do where they can't. Write nothing.

    Exit status 0 where all are ready, else 1. It needs no Prefect server.
    """
    return calling("preflight", cluster, output=output)


@click.command(
    epilog=examples("tls-sync history --limit 5", "tls-sync history --cluster dev --failed"),
    short_help="The last runs: when, by whom, and with which result.",
)
@config
@cluster
@click.option("--failed", is_flag=True, help="Only runs (with --cluster: of it) that failed.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many runs.")
@output("json")
def history(*, cluster: str | None, failed: bool, limit: int, output: str) -> Action:
    """Print the last runs: when, who, with what, and what became of each cluster.

    PREFECT_API_URL names the Prefect server that has them.
    """
    return calling("history", cluster, failed=failed, limit=limit, output=output)


@click.command(
    epilog=examples("tls-sync logs 3f2a91c4", "tls-sync logs 3f2a91c4-5b0e-4f63-9a77-0c1d2e3f4a5b | less"),
    short_help="The log of a run.",
)
@click.argument("run", type=NonEmpty())
def logs(*, run: str) -> Action:
    """Print the log of RUN: its id, the end of that as `tls-sync history` shows it, or the run's name."""
    return calling("logs", run)


@click.command(
    "cluster-ids",
    epilog=examples("tls-sync cluster-ids", "KUBECONFIG=admin.kubeconfig tls-sync cluster-ids"),
    short_help="The clusterId of each context of KUBECONFIG.",
)
def cluster_ids() -> Action:
    """Print the clusterId of each context of KUBECONFIG: the uid of the cluster's namespace kube-system."""
    return calling("cluster_ids")
