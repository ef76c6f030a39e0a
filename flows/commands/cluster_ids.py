"""`tls-sync cluster-ids` prints the clusterId of each context of KUBECONFIG."""

import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from tasks.domain.errors import ClusterError, internal_error
from tasks.domain.text import printable
from tasks.kube.client import ClusterClient
from tasks.kubeconfig.reader import connect, contexts

CLUSTER_SECONDS = 15.0
"""Maximum seconds for one cluster."""
MAX_CLUSTERS_AT_ONCE = 16


def run() -> int:
    """Return exit status 0 if the clusterId of every context is known."""
    try:
        found = list(cluster_ids())
    except ClusterError as error:
        sys.stderr.write(f"tls-sync: {error}\n")
        return 1
    if not found:
        sys.stderr.write("tls-sync: the kubeconfig has no context; set KUBECONFIG to one that has\n")
        return 1
    width = max(len(context) for context, _, _ in found)
    for context, text, _ in found:
        sys.stdout.write(f"{printable(context):{width}}  {printable(text)}\n")
    return 0 if all(known for _, _, known in found) else 1


def cluster_ids() -> Iterator[tuple[str, str, bool]]:
    """Yield each context of $KUBECONFIG, its clusterId or why it is unknown, and whether it is known."""
    names = contexts()
    with ThreadPoolExecutor(MAX_CLUSTERS_AT_ONCE) as pool:
        for name, (text, known) in zip(names, pool.map(_cluster_id, names), strict=True):
            yield name, text, known


def _cluster_id(context: str) -> tuple[str, bool]:
    try:
        # kubectl would run the exec plugin for the user of this command, too.
        access = connect(context, context, allow_exec=True)
        with ClusterClient(context, access, time.monotonic() + CLUSTER_SECONDS) as client:
            return client.cluster_id(), True
    except ClusterError as error:
        return str(error), False
    except Exception as error:  # noqa: BLE001  its text may contain a secret, so it goes no further
        return str(internal_error(context, "get its clusterId", error)), False
