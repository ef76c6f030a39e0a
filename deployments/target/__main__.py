"""`python -m deployments.target`: rights and credentials for target clusters."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from deployments.target.errors import TargetError
from tasks.runtime.command import non_empty, run_command

if TYPE_CHECKING:  # imports with dependencies are in functions, so that their failure is one sentence
    from deployments.target.places import Place
    from tasks.config.schema import SyncConfig

_DESCRIPTION = """\
  manifests   print what a target cluster needs: account, roles, admission policy (YAML, for kubectl apply)
  kubeconfig  collect a fresh token of each cluster into one kubeconfig, and put it into a Secret on OPS
"""
_KUBECONFIG = """\
Gets the address, the CA and a new bound token of each cluster of the configuration by your own kubectl,
and writes them into Secret tls-sync-kubeconfig (key config) on OPS. The same command renews the tokens.
A cluster that can't be reached keeps its entry; so does one with an exec plugin, a token file or a client
certificate. No credential is printed or is in an argument.
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
        help="name of ServiceAccount, namespace, roles and policy on the targets (default: tls-sync); "
        "each further tls-sync that writes to the same targets needs another one",
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
    add("--admin-kubeconfig", metavar="FILE", type=non_empty, help="yours, in place of kubectl's default")
    for option, value, meaning in (
        ("--context", "CONTEXT", "a cluster's context in your kubeconfig, where it differs"),
        ("--server", "URL", "a cluster's address for OPS, where it differs from yours"),
    ):
        add(option, metavar=f"CLUSTER={value}", help=meaning, action="append", default=[], type=_pair)
    add("--duration", default=_DURATION, type=non_empty, help=f"life of the tokens (default: {_DURATION})")
    add("--ops-context", metavar="CONTEXT", type=non_empty, help="the context of OPS in your kubeconfig")
    add("--namespace", default="tls-sync", type=non_empty, help="namespace of the Secret (default: tls-sync)")
    add("--secret", default=_SECRET, type=non_empty, help=f"name of the Secret (default: {_SECRET})")
    add("--replace", action="store_true", help="overwrite a Secret that this command did not create")
    add("--output", metavar="FILE", type=_path, help="write a file (mode 0600) in place of the Secret")
    add("--dry-run", action="store_true", help="create no token, write nothing, and print what would happen")


def _account(given: str) -> str:
    """Check the account's name, which is its namespace's, too: pods there can use the account."""
    from deployments.target.collection import ACCOUNT  # noqa: PLC0415  not for --help
    from tasks.domain.names import is_namespace, is_protected  # noqa: PLC0415

    if not is_namespace(non_empty(given)):
        raise argparse.ArgumentTypeError(f"{given!r} is not a valid name of a namespace")
    if given != ACCOUNT and is_protected(given):
        raise argparse.ArgumentTypeError(
            f"{given!r} is a namespace of others; take a new name, such as {ACCOUNT}-web"
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
        config.named(given.cluster)  # raises ConfigError, which names the clusters
    place = _place(given, config.source.context)
    collector = collection.Collector(
        given.admin_kubeconfig, given.duration, dry_run=given.dry_run, account=given.account
    )
    outcomes = collection.collect(collector, wanted, given.cluster, place.read())
    sys.stdout.write("".join(f"{line}\n" for line in collection.lines(outcomes)))
    if given.dry_run:
        sys.stdout.write(f"dry run: nothing was written to {place}\n")
    elif any(one.renewed for one in outcomes):
        collection.put(place, outcomes)
        sys.stdout.write(f"written{place.location}: {place}\n")
    else:
        left = "is unchanged" if place.exists else "was not created"
        raise TargetError(f"no credential could be renewed, so {place}{place.location} {left}")
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
    """Return where to write the kubeconfig; `configured` is the configuration's context of OPS."""
    from deployments.target.collection import no_context  # noqa: PLC0415
    from deployments.target.kubectl import Kubectl  # noqa: PLC0415
    from deployments.target.places import InFile, InSecret  # noqa: PLC0415

    if given.output:
        return InFile(given.output)
    ops = given.ops_context or configured
    if not ops:
        raise TargetError("no destination: set --ops-context <the context of OPS>, or --output <file>")
    kubectl = Kubectl(ops, given.admin_kubeconfig)
    known = Kubectl(kubeconfig=given.admin_kubeconfig).contexts()
    if ops not in known:
        remedy = "correct --ops-context" if given.ops_context else "set --ops-context <yours>"
        raise no_context(ops, known, remedy)
    return InSecret(kubectl, given.namespace, given.secret, replace=given.replace)


if __name__ == "__main__":
    sys.exit(run_command(main))
