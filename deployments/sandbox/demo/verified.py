"""DEV's server in the demo: later waves wait until it presents the new certificate."""

import os
from pathlib import Path

import yaml

from deployments.sandbox.clusters.control_plane import Sandbox
from deployments.sandbox.clusters.manifests import Manifest
from deployments.sandbox.demo.copy_server import CopyServer
from deployments.sandbox.world.oracle import Place
from tasks.served import look

SECONDS = 4.0
"""Seconds for which a run of the demo waits; the two minutes of others would be too long to watch."""
_servers: list[CopyServer] = []


def serve(sandbox: Sandbox, copy: Place) -> None:
    """Start a server that has loaded this copy, and configure later waves to wait for it."""
    server = CopyServer(lambda: sandbox.cluster(copy.cluster).admin.secret(copy.namespace, copy.name))
    server.reload()
    _servers.append(server)
    path = Path(os.environ["TLS_SYNC_CONFIG"])
    document = yaml.safe_load(path.read_text())
    _wait_for(document, copy, server.address)
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    look.SECONDS = SECONDS


def _wait_for(document: Manifest, copy: Place, address: str) -> None:
    document["waves"] = {"verify": "served"}
    for number, cluster in enumerate(document["clusters"], 1):
        cluster["wave"] = number
        if cluster["name"] == copy.cluster:
            cluster["routes"] = [
                route | ({"served": [address]} if copy.name in route["certificates"] else {})
                for route in cluster["routes"]
            ]


def reload(_: Sandbox) -> None:
    for server in _servers:
        server.reload()
