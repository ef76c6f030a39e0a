"""`python -m flows --cluster-ids`: the clusterId of each context of KUBECONFIG."""

import argparse
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from tasks.domain.errors import ClusterError, internal_error
from tasks.domain.text import printable
from tasks.kube.client import ClusterClient
from tasks.kubeconfig.reader import connect, contexts

SECONDS = 15.0

SIDE_BY_SIDE = 16


def main(_given: argparse.Namespace) -> int:
    """Exit status 0 where all could be had."""
    try:
        found = list(cluster_ids())
    except ClusterError as error:
        sys.stderr.write(f"tls-sync: {error}\n")
        return 1
    if not found:
        sys.stderr.write("tls-sync: the kubeconfig has no context; let KUBECONFIG name one that has\n")
        return 1
    width = max(len(context) for context, _, _ in found)
    for context, text, _ in found:
        sys.stdout.write(f"{printable(context):{width}}  {printable(text)}\n")
    return 0 if all(known for _, _, known in found) else 1


def cluster_ids() -> Iterator[tuple[str, str, bool]]:
    """Each context of $KUBECONFIG, its clusterId or why it can't be had, and whether it could."""
    names = contexts()
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        for name, (text, known) in zip(names, pool.map(_cluster_id, names), strict=True):
            yield name, text, known


def _cluster_id(context: str) -> tuple[str, bool]:
    try:
        # Whoever types this command would run the exec plugin with kubectl, too.
        access = connect(context, context, allow_exec=True)
        with ClusterClient(context, access, time.monotonic() + SECONDS) as client:
            return client.cluster_id(), True
    except ClusterError as error:
        return str(error), False
    except Exception as error:  # noqa: BLE001  its text could hold anything, so it ends here
        return str(internal_error(context, "ask for its clusterId", error)), False
