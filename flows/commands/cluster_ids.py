"""`python -m flows --cluster-ids`: the clusterId of each context of KUBECONFIG."""

import argparse
import sys

from tasks.domain.errors import ClusterError
from tasks.domain.text import plain
from tasks.preflight.cluster_ids import cluster_ids


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
        sys.stdout.write(f"{plain(context):{width}}  {plain(text)}\n")
    return 0 if all(known for _, _, known in found) else 1
