"""`python -m flows --preflight`. It needs no Prefect server, which may be what is not ready."""

import argparse
import sys

from tasks.config.load import load_config
from tasks.domain.errors import ConfigError
from tasks.preflight import render
from tasks.preflight.probe import preflight


def main(given: argparse.Namespace) -> int:
    """Return exit status 0 if OPS and all clusters are ready."""
    try:
        found = preflight(load_config(), given.cluster)
    except ConfigError as error:
        sys.stderr.write(f"tls-sync: {error}\n")
        return 1
    sys.stdout.write(f"{render.render(found)}\n")
    return 0 if render.verdict(found).ok else 1
