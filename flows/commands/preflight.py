"""`python -m flows --preflight`. Needs no Prefect server: what is not ready may be just that."""

import argparse
import sys

from tasks.config.load import load_config
from tasks.domain.errors import ConfigError
from tasks.preflight import render
from tasks.preflight.probe import preflight


def main(given: argparse.Namespace) -> int:
    """Exit status 0 where all are ready."""
    try:
        found = preflight(load_config(), given.cluster)
    except ConfigError as error:
        sys.stderr.write(f"tls-sync: {error}\n")
        return 1
    sys.stdout.write(f"{render.render(found)}\n")
    return 0 if render.verdict(found).ok else 1
