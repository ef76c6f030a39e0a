"""`python -m flows`: one run of tls-sync in this process, without a deployment."""

import argparse
import os
import sys

# Without a server of its own Prefect starts one for this run; on a small machine that takes up to 40 s.
os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "180")


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
    given = parser.parse_args()
    from flows.tls_sync import tls_sync  # noqa: PLC0415  after the environment, and not for --help

    state = tls_sync(given.cluster, given.certificate, dry_run=given.dry_run, return_state=True)
    return 0 if state.is_completed() else 1


if __name__ == "__main__":
    sys.exit(main())
