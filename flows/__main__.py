"""`python -m flows`: one run of tls-sync in this process, without a deployment."""

import argparse
import os
import sys

# Where PREFECT_API_URL names no server, Prefect starts one for this run; on a small machine that takes 40 s.
os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "180")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")


def main() -> int:
    """Exit status 0 where the run is Completed, 1 where it is Failed."""
    parser = argparse.ArgumentParser(
        prog="python -m flows",
        description="Copy certificates from OPS to the clusters of the configuration, once.",
        epilog="Environment: TLS_SYNC_CONFIG names the configuration, KUBECONFIG the credentials.",
    )
    parser.add_argument("--cluster", help="only this cluster, by its name in the configuration")
    parser.add_argument("--certificate", help="only this certificate, by its Secret's name on OPS")
    parser.add_argument("--dry-run", action="store_true", help="plan and report, but write nothing")
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
    given = parser.parse_args()
    if given.cluster_ids:
        return print_cluster_ids()
    if given.preflight:
        if given.certificate or given.dry_run:
            parser.error("--preflight goes with --cluster alone: it writes nothing, whatever the certificate")
        return print_preflight(given.cluster)
    from tasks.errors import ConfigError  # noqa: PLC0415  not for --help
    from tasks.pushgateway import load_config_or_tell  # noqa: PLC0415

    try:
        load_config_or_tell().select(given.cluster, given.certificate)
    except ConfigError as error:  # said at once: the flow would find it, too, but after Prefect's start
        sys.stderr.write(f"tls-sync: {error}\n")
        return 1
    if trouble := prefect_unreachable():
        sys.stderr.write(f"tls-sync: {trouble}\n")
        return 1
    from flows.tls_sync import tls_sync  # noqa: PLC0415  after the environment

    try:
        state = tls_sync(given.cluster, given.certificate, dry_run=given.dry_run, return_state=True)
    except KeyboardInterrupt:
        sys.stderr.write("tls-sync: interrupted; the report above says what was done\n")
        return 130
    return 0 if state.is_completed() else 1


def prefect_unreachable() -> str:
    """Why no flow can begin; empty where it can, or where Prefect starts a server of its own."""
    from prefect.client.orchestration import get_client  # noqa: PLC0415
    from prefect.settings import PREFECT_API_URL  # noqa: PLC0415

    address = PREFECT_API_URL.value()
    if not address:
        return ""
    with get_client(sync_client=True) as client:
        failed = client.api_healthcheck() is not None
    return (
        f"Prefect's API at {address} does not answer, so no run can begin; check PREFECT_API_URL"
        if failed
        else ""
    )


def print_cluster_ids() -> int:
    """Exit status 0 where all could be had."""
    from tasks.cluster_ids import cluster_ids  # noqa: PLC0415
    from tasks.errors import ClusterError  # noqa: PLC0415

    try:
        found = list(cluster_ids())
    except ClusterError as error:
        sys.stderr.write(f"tls-sync: {error}\n")
        return 1
    width = max((len(context) for context, _, _ in found), default=0)
    for context, text, _ in found:
        sys.stdout.write(f"{context:{width}}  {text}\n")
    return 0 if all(known for _, _, known in found) else 1


def print_preflight(cluster: str | None) -> int:
    """Exit status 0 where all are ready. Needs no Prefect server: what is not ready may be just that."""
    from tasks import checklist  # noqa: PLC0415
    from tasks.config import load_config  # noqa: PLC0415
    from tasks.errors import ConfigError  # noqa: PLC0415
    from tasks.preflight import preflight  # noqa: PLC0415

    try:
        found = preflight(load_config(), cluster)
    except ConfigError as error:
        sys.stderr.write(f"tls-sync: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("tls-sync: interrupted\n")
        return 130
    sys.stdout.write(f"{checklist.render(found)}\n")
    return 0 if checklist.verdict(found).ok else 1


if __name__ == "__main__":
    sys.exit(main())
