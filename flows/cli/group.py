"""The group of all verbs."""

import click

from flows.cli import runs, setup, views
from tasks.runtime.version import version


def _show_version(ctx: click.Context, _param: click.Parameter, is_wanted: bool) -> None:
    if is_wanted and not ctx.resilient_parsing:
        click.echo(f"tls-sync {version()}")
        ctx.exit()


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Environment: TLS_SYNC_CONFIG names the configuration (by default tls-sync.yaml in this folder), "
    "KUBECONFIG the credentials, PREFECT_API_URL the Prefect server.",
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_show_version,
    help="Show the version and exit.",
)
def tls_sync() -> None:
    """Copy cert-manager's certificates from the cluster OPS to the clusters that need them."""


for verb in (
    setup.init,
    runs.plan,
    runs.sync,
    views.inventory,
    views.preflight,
    views.history,
    views.logs,
    setup.watch,
    setup.rights,
    views.cluster_ids,
    setup.completion,
):
    tls_sync.add_command(verb)
