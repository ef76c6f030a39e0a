"""`python -m deployments.target`: rights and credentials for target clusters."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from deployments.target.errors import TargetError
from tasks.runtime.command import non_empty, run_command

if TYPE_CHECKING:  # what needs no dependency is imported before the first try
    from deployments.target.places import Place
    from tasks.config.schema import SyncConfig

_DESCRIPTION = """\
  manifests   print what a target cluster needs: account, roles, admission policy (YAML, for kubectl apply)
  kubeconfig  collect a fresh token of each cluster into one kubeconfig, and put it into a Secret on OPS
"""
_KUBECONFIG = """\
Asks your own kubectl for the address, the CA and a fresh bound token of each cluster of the
configuration, and puts all of them into Secret tls-sync-kubeconfig (key config) on OPS. The same command
renews the tokens. A cluster that can't be asked keeps what it had; so does one with an exec plugin, a
token file or a client certificate. Nothing secret is printed or stands in an argument.
"""
_DURATION = "720h"
_SECRET = "tls-sync-kubeconfig"  # noqa: S105  a name, not a secret


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m deployments.target",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="manifests|kubeconfig")
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "--config", metavar="FILE", type=non_empty, help="the configuration, in place of TLS_SYNC_CONFIG"
    )
    shared.add_argument(
        "--cluster",
        type=non_empty,
        help="only this cluster, by its name in the configuration (kubeconfig: or OPS)",
    )
    shared.add_argument(
        "--account",
        metavar="NAME",
        default="tls-sync",
        type=_account,
        help="of the ServiceAccount on the targets, its namespace, roles and policy (tls-sync by default); "
        "another one for each further tls-sync that writes to the same targets",
    )
    commands.add_parser("manifests", parents=[shared], help="print what target clusters need")
    _add_kubeconfig(
        commands.add_parser(
            "kubeconfig", parents=[shared], help="collect credentials", description=_KUBECONFIG
        )
    )
    given = parser.parse_args()
    from tasks.domain.errors import ConfigError  # noqa: PLC0415  not for --help

    try:
        return _manifests(given) if given.command == "manifests" else _kubeconfig(given)
    except (ConfigError, TargetError) as error:
        sys.stderr.write(f"tls-sync: {error}\n")
        return 1


def _add_kubeconfig(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--admin-kubeconfig",
        metavar="FILE",
        type=non_empty,
        help="yours, in place of the one that kubectl takes",
    )
    for option, value, told in (
        ("--context", "CONTEXT", "what your kubeconfig calls a cluster's context, where that differs"),
        ("--server", "URL", "the address as OPS reaches it, where yours is another"),
    ):
        add(option, metavar=f"CLUSTER={value}", help=told, action="append", default=[], type=_pair)
    add("--duration", default=_DURATION, type=non_empty, help=f"of the tokens ({_DURATION} by default)")
    add("--ops-context", metavar="CONTEXT", type=non_empty, help="the context of OPS in your kubeconfig")
    add("--namespace", default="tls-sync", type=non_empty, help="of the Secret (tls-sync by default)")
    add("--secret", default=_SECRET, type=non_empty, help=f"its name ({_SECRET} by default)")
    add("--replace", action="store_true", help="also a Secret that something else made")
    add("--output", metavar="FILE", type=_path, help="into a file (mode 0600) in place of the Secret")
    add("--dry-run", action="store_true", help="make no token, write nothing, and say what would be")


def _account(given: str) -> str:
    """Also the name of its namespace, where whoever may create a pod can use the account."""
    from deployments.target.collection import ACCOUNT  # noqa: PLC0415  not for --help
    from tasks.domain.names import is_namespace, is_protected  # noqa: PLC0415

    if not is_namespace(non_empty(given)):
        raise argparse.ArgumentTypeError(f"{given!r} is no name for a namespace")
    if given != ACCOUNT and is_protected(given):
        raise argparse.ArgumentTypeError(
            f"{given!r} is a namespace of others; take a new name, as {ACCOUNT}-web"
        )
    return given


def _path(given: str) -> Path:
    return Path(non_empty(given))


def _pair(given: str) -> tuple[str, str]:
    name, _, value = given.partition("=")
    if not name or not value:
        raise argparse.ArgumentTypeError(f"{given!r} is not CLUSTER=VALUE")
    return name, value


def _manifests(given: argparse.Namespace) -> int:
    from deployments.target.manifests import render  # noqa: PLC0415
    from tasks.config.load import load_config  # noqa: PLC0415

    config = load_config(given.config)
    _refuse_application(config, given.account)
    sys.stdout.write(render(config.named(given.cluster), given.account))
    return 0


def _kubeconfig(given: argparse.Namespace) -> int:
    from deployments.target import collection  # noqa: PLC0415
    from tasks.config.load import load_config  # noqa: PLC0415

    config = load_config(given.config)
    _refuse_application(config, given.account)
    contexts, servers = dict(given.context), dict(given.server)
    wanted = collection.wanted_of(config, given.ops_context, contexts, servers)
    if given.cluster not in {one.name for one in wanted}:
        config.named(given.cluster)  # which says what it knows
    place = _place(given, config.source.context)
    asker = collection.Asker(
        given.admin_kubeconfig, given.duration, dry_run=given.dry_run, account=given.account
    )
    outcomes = collection.collect(asker, wanted, given.cluster, place.read())
    sys.stdout.write("".join(f"{line}\n" for line in collection.lines(outcomes)))
    if given.dry_run:
        sys.stdout.write(f"dry run: nothing was written to {place}\n")
    elif any(one.renewed for one in outcomes):
        collection.put(place, outcomes)
        sys.stdout.write(f"written{place.whose}: {place}\n")
    else:
        left = "is as it was" if place.is_there else "was not made"
        raise TargetError(f"no credential could be renewed, so {place}{place.whose} {left}")
    return 1 if any(one.failed for one in outcomes) else 0


def _refuse_application(config: "SyncConfig", account: str) -> None:
    """Raise TargetError where the account would be in a namespace that certificates are copied to.

    Pods there could use it, and with it write to the namespaces of all other applications of the cluster.
    """
    for cluster in config.clusters:
        if account in cluster.namespaces_of(None):
            raise TargetError(
                f"--account {account}: namespace {account} is an application's (cluster {cluster.name} has a "
                "route to it), and its pods could use the ServiceAccount; take a name that no application has"
            )


def _place(given: argparse.Namespace, configured: str | None) -> "Place":
    """Where the kubeconfig is to go; `configured` is the configuration's own context of OPS."""
    from deployments.target.collection import no_context  # noqa: PLC0415
    from deployments.target.kubectl import Kubectl  # noqa: PLC0415
    from deployments.target.places import InFile, InSecret  # noqa: PLC0415

    if given.output:
        return InFile(given.output)
    ops = given.ops_context or configured
    if not ops:
        raise TargetError("say where to put it: --ops-context <the context of OPS>, or --output <file>")
    kubectl = Kubectl(ops, given.admin_kubeconfig)
    known = Kubectl(kubeconfig=given.admin_kubeconfig).contexts()
    if ops not in known:
        remedy = "correct --ops-context" if given.ops_context else "say --ops-context <yours>"
        raise no_context(ops, known, remedy)
    return InSecret(kubectl, given.namespace, given.secret, replace=given.replace)


if __name__ == "__main__":
    sys.exit(run_command(main))
