"""`python -m flows --preflight`. Needs no Prefect server: what is not ready may be just that."""

import argparse
import sys

from tasks import checklist
from tasks.config import load_config
from tasks.errors import ConfigError
from tasks.preflight import preflight


def main(given: argparse.Namespace) -> int:
    """Exit status 0 where all are ready."""
    try:
        found = preflight(load_config(), given.cluster)
    except ConfigError as error:
        sys.stderr.write(f"tls-sync: {error}\n")
        return 1
    sys.stdout.write(f"{checklist.render(found)}\n")
    return 0 if checklist.verdict(found).ok else 1
