"""The verbs that start a run: `plan`, which writes nothing, and `sync`."""

from collections.abc import Callable

import click

from flows.cli.options import (
    Action,
    NonEmpty,
    Pair,
    Qualified,
    calling,
    certificate,
    cluster,
    config,
    examples,
    output,
)
from tasks.domain.parameters import RunParameters
from tasks.runtime.command import run_command
from tasks.runtime.signals import interrupt_message

OF_DEPLOYED_RUN = "goes with --deployment"


def of_a_run(verb: Callable[..., Action]) -> Callable[..., Action]:
    """Add the options that narrow a run."""
    group = click.option(
        "--group", type=NonEmpty(), help="Only this group of clusters, by its name in the configuration."
    )
    verify = click.option(
        "--verify",
        is_flag=True,
        help="Read and compare all certificates, also those that notes on copies say are in sync.",
    )
    return config(cluster(certificate(group(verify(verb)))))


@click.command(
    epilog=examples(
        "tls-sync plan --cluster dev --detailed-exitcode -o json",
        "tls-sync plan --explain dev/homarr-dev-tls",
    ),
    short_help="Say what a run would do, and write nothing.",
)
@of_a_run
@click.option(
    "--detailed-exitcode",
    is_flag=True,
    help="Exit status 0 where there is nothing to do, 2 where there is, 1 after a failure or a refusal, "
    "64 for a wrong option.",
)
@click.option(
    "--explain",
    metavar="CLUSTER/CERTIFICATE",
    type=Qualified("CLUSTER/CERTIFICATE"),
    help="Only this certificate on this cluster; say first which route sends it, or what keeps it away.",
)
@output("json")
def plan(
    *,
    detailed_exitcode: bool,
    explain: tuple[str, str] | None,
    output: str,
    **given: str | bool | None,
) -> Action:
    """Read OPS and the clusters, say what a run would create, update, refuse or delete, and write nothing.

    Exit status 0, or 1 where a cluster could not be read or a certificate would be refused.
    """
    if explain:
        if given["cluster"] or given["certificate"] or given["group"] or output != "table":
            raise click.UsageError("--explain goes with none of --cluster, --certificate, --group and -o")
        given = {**given, "cluster": explain[0], "certificate": explain[1]}
    parameters = RunParameters(dry_run=True, **given)  # type: ignore[arg-type]  # click knows the types
    return _run(parameters, output=output, is_detailed=detailed_exitcode, is_explained=bool(explain))


@click.command(
    epilog=examples(
        "tls-sync sync --cluster dev",
        "tls-sync sync --deployment ops --cluster dev --follow",
    ),
    short_help="Copy the certificates of OPS to the clusters, once.",
)
@of_a_run
@click.option("--dry-run", is_flag=True, help="Plan and report, but write nothing, as `tls-sync plan` does.")
@click.option(
    "--deployment",
    metavar="NAME",
    type=NonEmpty(),
    help="Start a run of this deployment (ops, or FLOW/NAME) on its Prefect server, not one in this process.",
)
@click.option(
    "-p",
    "--param",
    "extra",
    metavar="NAME=VALUE",
    type=Pair(),
    multiple=True,
    help="With --deployment: a parameter of the run, as for `prefect deployment run`.",
)
@click.option(
    "--follow",
    is_flag=True,
    help="With --deployment: wait for the run, and show its report. Ctrl-C stops the waiting, not the run.",
)
@output("json")
def sync(
    *,
    dry_run: bool,
    deployment: str | None,
    extra: tuple[tuple[str, str], ...],
    follow: bool,
    output: str,
    **given: str | bool | None,
) -> Action:
    """Copy the certificates of OPS to the clusters that the routes name, once, in this process.

    Exit status 0 where the run is Completed, 1 where it is Failed.
    """
    parameters = RunParameters(dry_run=dry_run, **given)  # type: ignore[arg-type]  # click knows the types
    if deployment:
        if output != "table":
            raise click.UsageError(
                "-o json does not go with --deployment; tls-sync history -o json has the run"
            )
        return calling("deployed_run", deployment, parameters, dict(extra), follow=follow)
    for name, value in (("-p", extra), ("--follow", follow)):
        if value:
            raise click.UsageError(f"{name} {OF_DEPLOYED_RUN}")
    return _run(parameters, output=output)


def _run(
    parameters: RunParameters, *, output: str, is_detailed: bool = False, is_explained: bool = False
) -> Action:
    run = calling("local_run", parameters, output=output, is_detailed=is_detailed, is_explained=is_explained)
    return lambda: run_command(run, interrupt_message)
