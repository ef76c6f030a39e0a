"""`tls-sync preflight`. It needs no Prefect server, which may be what is not ready."""

import json
import sys

from flows.commands.own_kubeconfig import warn_of_another_kubeconfig
from tasks.config.load import load_config
from tasks.domain.errors import ConfigError
from tasks.preflight import render
from tasks.preflight.document import document
from tasks.preflight.probe import preflight
from tasks.runtime.progress import saying


def run(cluster: str | None, *, output: str) -> int:
    """Return exit status 0 if OPS and all clusters are ready."""
    warn_of_another_kubeconfig()
    try:
        with saying("asking OPS and the clusters"):
            found = preflight(load_config(), cluster)
    except ConfigError as error:
        sys.stderr.write(f"tls-sync: {error}\n")
        return 1
    text = json.dumps(document(found), indent=2) if output == "json" else render.render(found)
    sys.stdout.write(f"{text}\n")
    return 0 if render.verdict(found).ok else 1
