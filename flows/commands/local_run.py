"""`tls-sync plan` and `tls-sync sync`: one run in this process."""

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from flows.commands.own_kubeconfig import warn_of_another_kubeconfig
from tasks.runtime.imports import importing, lean_import
from tasks.runtime.progress import saying

if TYPE_CHECKING:
    from tasks.config.schema import SyncConfig
    from tasks.domain.models import RunReport
    from tasks.domain.parameters import RunParameters

PENDING = 2
"""The exit status of `plan --detailed-exitcode` where a run would change something."""


def run(
    parameters: "RunParameters",
    *,
    output: str = "table",
    is_detailed: bool = False,
    is_explained: bool = False,
) -> int:
    """Exit status 0 where the run is Completed, 1 where it is Failed; with `is_detailed` see PENDING."""
    with importing():
        from tasks.config.load import load_config  # noqa: PLC0415  a run's imports, without collections
        from tasks.domain.errors import ConfigError  # noqa: PLC0415
        from tasks.metrics.push import reporting_config_errors  # noqa: PLC0415
    try:
        with reporting_config_errors():
            config = load_config()
        if config.discover:
            from tasks.kube.discovery import discover  # noqa: PLC0415  for few configurations

            config = discover(config, parameters).config
        if is_explained and not _explain(config, parameters):
            return 1
        config.select(parameters)
    except ConfigError as error:  # before Prefect is imported, which takes a second
        sys.stderr.write(f"tls-sync: {error}\n")
        return 1
    warn_of_another_kubeconfig()
    reports = list["RunReport"]()
    with saying("loading Prefect"), importing():
        module = lean_import("flows.commands.run")  # after the environment
        from tasks.orchestration.publish import listeners  # noqa: PLC0415  it imports Prefect
    listeners.append(reports.append)
    status = int(module.run(parameters))
    if output == "json":
        _write(reports)
    return PENDING if is_detailed and status == 0 and _has_changes(reports) else status


def _explain(config: "SyncConfig", parameters: "RunParameters") -> bool:
    """Return whether a route sends the certificate. Raises ConfigError if the cluster is unknown."""
    from flows.commands.explained import explained  # noqa: PLC0415  for few runs

    lines, is_sent = explained(config, str(parameters.cluster), str(parameters.certificate))
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()
    return is_sent


def _write(reports: "Sequence[RunReport]") -> None:
    from tasks.report.document import document  # noqa: PLC0415  after the run, which imports it

    for report in reports:
        sys.stdout.write(f"{json.dumps(document(report), indent=2)}\n")


def _has_changes(reports: "Sequence[RunReport]") -> bool:
    return any(change.acts for report in reports for one in report.clusters for change in one.changes)
