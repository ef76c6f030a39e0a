"""`python -m deployments.sandbox`: run tls-sync on clusters of this machine."""

import argparse
import os
import signal
import sys
from types import FrameType

from deployments.sandbox.errors import SandboxError
from deployments.sandbox.progress import say

_INTERRUPTED = 130
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_DESCRIPTION = """\
tls-sync on four real API servers (ops, dev, rct, prd) and a real Prefect server, all on loopback
and in one temporary directory. Nothing of your own clusters, kubeconfig or Prefect profile is used.

  demo       a guided tour of a few minutes: runs, each one checked against the clusters
  demo-acme  the way of a certificate: cert-manager orders it, a run copies it, TLS clients trust it
  up         the same clusters to play with: cert-manager with an ACME server on OPS, Prefect's UI, the
             flow with its hourly schedule, the preflight, and a list of commands to type in another
             terminal; runs until Ctrl-C
  renew      have cert-manager renew a certificate on the OPS of a sandbox that is up
  fetch      only find, fetch or build what the tests need: kube-apiserver, etcd, kubectl, helm,
             cert-manager and an ACME server
"""
_EPILOG = """\
kube-apiserver and etcd are taken from $KUBEBUILDER_ASSETS if it is set, else from the cache, or are
fetched or built once, which takes minutes. cert-manager and pebble, the ACME server, are always built
from source, with Go; that takes three minutes, once. Ctrl-C stops all processes and removes all files.
"""


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m deployments.sandbox",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="demo|demo-acme|up|renew|fetch")
    commands.add_parser("demo", help="a guided tour of runs; exit status 0 if every check passed")
    commands.add_parser("demo-acme", help="from an ACME order to TLS handshakes with the copies")
    commands.add_parser("up", help="clusters, Prefect's UI and the scheduled flow, until Ctrl-C")
    commands.add_parser("fetch", help="find, fetch or build the programs that tests need")
    renew = commands.add_parser(
        "renew", help="renew a certificate on OPS; needs the KUBECONFIG that up prints"
    )
    renew.add_argument("name", help="the certificate's Secret on OPS, such as homarr-dev-tls")
    return _guarded(parser.parse_args())


def _guarded(given: argparse.Namespace) -> int:
    for number in _SIGNALS:
        signal.signal(number, _interrupt)
    try:
        return _carry_out(given)
    except KeyboardInterrupt:
        say("interrupted: everything is stopped")
        return _INTERRUPTED
    except SandboxError as error:
        say(f"error: {error}")
        return 1


def _carry_out(given: argparse.Namespace) -> int:
    """Run the command. The imports are here so that Ctrl-C during them ends without a traceback, too."""
    if given.command == "fetch":
        from deployments.sandbox.cert_manager.source import PROGRAMS  # noqa: PLC0415
        from deployments.sandbox.programs.binaries import locate  # noqa: PLC0415

        locate("etcd", "kube-apiserver", "kubectl", "helm", *PROGRAMS)
        return 0
    from deployments.sandbox.demo import acme, demo, renew, up  # noqa: PLC0415

    if given.command == "renew":
        return renew.run(given.name)
    return {"demo": demo.run, "demo-acme": acme.run, "up": up.run}[given.command]()


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """End the program at the first signal, and ignore later ones while it cleans up."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    # Not sys.exit: it waits for Prefect's threads, which wait for servers that have stopped.
    os._exit(status)
