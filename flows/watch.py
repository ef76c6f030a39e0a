"""`python -m flows.watch` copies each renewal on OPS at once. The hourly run works without it."""

import argparse
import os
import signal
import socket
import sys

from tasks.domain.names import is_name, is_namespace
from tasks.runtime.command import non_empty, run_command

os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m flows.watch",
        description="Follow the certificates of OPS, and copy each renewal at once, until SIGTERM or Ctrl-C.",
        epilog="Environment: TLS_SYNC_CONFIG, KUBECONFIG and PREFECT_API_URL, as for a run.",
    )
    parser.add_argument("--port", type=int, default=8080, help="of /healthz and /metrics (8080 by default)")
    parser.add_argument(
        "--lease",
        metavar="NAMESPACE/NAME",
        type=non_empty,
        help="of several watchers, the one that holds this Lease is active",
    )
    parser.add_argument(
        "--lease-context",
        metavar="CONTEXT",
        type=non_empty,
        help="where the Lease is, if not in this cluster",
    )
    given = parser.parse_args()
    if not 0 <= given.port < 65536:
        parser.error("--port: 0 to 65535")
    namespace, _, name = (given.lease or "").partition("/")
    if given.lease and not (is_namespace(namespace) and is_name(name)):
        parser.error("--lease: NAMESPACE/NAME is expected")
    if given.lease_context and not given.lease:
        parser.error("--lease-context goes with --lease")
    return watch(given.port, namespace, name, given.lease_context)


def watch(port: int, namespace: str, name: str, context: str | None) -> int:
    """Run the watcher until SIGTERM or SIGINT; return its exit status. Without a `name`, it uses no Lease."""
    from flows.watch_record import Recorder  # noqa: PLC0415
    from tasks.domain.errors import ConfigError  # noqa: PLC0415
    from tasks.orchestration.process import prepare  # noqa: PLC0415
    from tasks.watch.lease import Lease  # noqa: PLC0415
    from tasks.watch.watcher import Watcher  # noqa: PLC0415  not for --help

    prepare()
    identity = f"{socket.gethostname()}_{os.getpid()}"
    try:
        watcher = Watcher(Lease(namespace, name, identity, context) if name else None, port, Recorder())
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: watcher.stop())
        return watcher.run()
    except (ConfigError, OSError) as error:
        sys.stderr.write(f"tls-sync: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(run_command(main))
