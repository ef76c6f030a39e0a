"""`python -m flows`: the former form of `tls-sync`, for this release. Each option is a verb there now."""

import argparse
import sys

from tasks.runtime.command import exit_fast, non_empty, run_command
from tasks.runtime.signals import interrupt_message

COMMANDS = ("cluster_ids", "preflight", "inventory", "history", "logs")
"""The commands that are no run; each is a module of flows/commands/."""


def main() -> int:
    """Exit status 0 where the run is Completed, 1 where it is Failed."""
    parser = make_parser()
    given = parser.parse_args()
    commands = [name for name in COMMANDS if getattr(given, name)]
    if problem := conflict(given, commands):
        parser.error(problem)
    if commands:
        return command(commands[0], given)
    return run_command(lambda: run(given), interrupt_message)


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m flows",
        description="Copy certificates from OPS to the clusters of the configuration, once.",
        epilog="`tls-sync` replaces this command: see tls-sync --help. Environment: TLS_SYNC_CONFIG names "
        "the configuration, KUBECONFIG the credentials, PREFECT_API_URL the Prefect server.",
    )
    parser.add_argument(
        "--cluster", type=non_empty, help="only this cluster, by its name in the configuration"
    )
    parser.add_argument(
        "--certificate", type=non_empty, help="only this certificate, by its Secret's name on OPS"
    )
    parser.add_argument(
        "--group", type=non_empty, help="only this group of clusters, by its name in the configuration"
    )
    parser.add_argument("--dry-run", action="store_true", help="plan and report, but write nothing")
    parser.add_argument(
        "--verify",
        action="store_true",
        help="read and compare all certificates, also those that notes on copies say are in sync",
    )
    parser.add_argument(
        "--cluster-ids",
        action="store_true",
        help="print the clusterId of each context of KUBECONFIG",
    )
    parser.add_argument(
        "--preflight",
        action="store_true",
        help="ask OPS and the clusters whether runs can work, and write nothing",
    )
    _add_inventory(parser.add_argument_group("the inventory"))
    _add_history(parser.add_argument_group("the history"))
    parser.add_argument("--json", action="store_true", help="inventory or history as JSON, for programs")
    return parser


def _add_inventory(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--inventory",
        action="store_true",
        help="say which certificate is where, until when, and whether it is the right one; write nothing. "
        "Exit status 0 where every wanted copy is in sync and no address serves another certificate than "
        "the stored one, else 1",
    )
    group.add_argument(
        "--html", metavar="FILE", type=non_empty, help="as one page with a timeline, into this file"
    )


def _add_history(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--history",
        action="store_true",
        help="print the last runs: when, who, with what, and what became of each cluster. With --cluster, "
        "those that were for it",
    )
    group.add_argument("--failed", action="store_true", help="only runs (with --cluster: of it) that failed")
    group.add_argument("--limit", type=_count, metavar="N", help="how many runs, 20 by default")
    group.add_argument(
        "--logs",
        metavar="RUN",
        type=non_empty,
        help="print the log of a run, by its id, the end of that, or its name",
    )


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= 1000:
        raise argparse.ArgumentTypeError("a number from 1 to 1000")
    return int(text)


TAKEN_BY = {
    "cluster": ("preflight", "inventory", "history"),
    "certificate": ("inventory",),
    "dry_run": (),
    "group": (),
    "verify": (),
    "html": ("inventory",),
    "json": ("inventory", "history"),
    "failed": ("history",),
    "limit": ("history",),
}
"""Option -> the commands that take it, beside a run."""
OF_A_RUN = ("cluster", "certificate", "dry_run", "group", "verify")


def conflict(given: argparse.Namespace, commands: list[str]) -> str:
    """Which of the given options exclude each other; empty where none do."""
    if len(commands) > 1:
        return f"{' and '.join(map(flag, commands))}: one at a time"
    if given.json and given.html:
        return "--json and --html: one at a time"
    options = [option for option in TAKEN_BY if getattr(given, option)]
    if commands == ["preflight"] and options not in ([], ["cluster"]):
        return "--preflight goes with --cluster alone: it asks clusters, and writes nothing anyhow"
    for option in options:
        takers = TAKEN_BY[option]
        if not commands and option not in OF_A_RUN:
            return f"{flag(option)} goes with {' or '.join(map(flag, takers))}"
        if commands and commands[0] not in takers:
            return f"{flag(option)} does not go with {flag(commands[0])}"
    return ""


def flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def command(name: str, given: argparse.Namespace) -> int:
    """Import only the module of this command: some need no Prefect, whose import takes a second."""
    from importlib import import_module  # noqa: PLC0415  not for --help

    from tasks.orchestration.process import forbid_dumps  # noqa: PLC0415

    forbid_dumps()
    return int(import_module(f"flows.commands.{name}").run(*arguments(name, given), **options(name, given)))


def arguments(name: str, given: argparse.Namespace) -> tuple[str | None, ...]:
    """Return what the command's run() takes by position."""
    chosen = {"inventory": (given.cluster, given.certificate), "cluster_ids": (), "logs": (given.logs,)}
    return chosen.get(name, (given.cluster,))


def options(name: str, given: argparse.Namespace) -> dict[str, object]:
    """Return what the command's run() takes by name."""
    output = "json" if given.json else "html" if given.html else "table"
    return {
        "inventory": {"output": output, "file": given.html},
        "preflight": {"output": output},
        "history": {"output": output, "failed": given.failed, "limit": given.limit or 20},
    }.get(name, {})


def run(given: argparse.Namespace) -> int:
    from flows.commands import local_run  # noqa: PLC0415  not for --help
    from tasks.domain.parameters import RunParameters  # noqa: PLC0415
    from tasks.orchestration.process import forbid_dumps  # noqa: PLC0415

    forbid_dumps()
    return local_run.run(RunParameters(**{name: getattr(given, name) for name in OF_A_RUN}))


if __name__ == "__main__":
    sys.exit(exit_fast(lambda: run_command(main)))
