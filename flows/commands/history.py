"""`python -m flows --history`: who started which runs, when, and the state of each cluster."""

import argparse
import json
import shutil
import sys
from itertools import islice

from tasks.domain.text import printable
from tasks.orchestration.prefect_api import PrefectAPIError, prefect_api
from tasks.orchestration.run_history import read_runs
from tasks.report import history

RUNS = 20
"""Number of runs that are shown without --limit."""


def main(given: argparse.Namespace) -> int:
    """Return exit status 0, also if there is no run yet; 1 if Prefect's API can't be reached."""
    try:
        with prefect_api() as client:
            matching = (
                run
                for run in read_runs(client, failed=given.failed)
                if history.matches(run, given.cluster, failed=given.failed)
            )
            runs = list(islice(matching, given.limit or RUNS))
    except PrefectAPIError as error:
        sys.stderr.write(f"tls-sync: {error}\n")
        return 1
    if given.json:
        sys.stdout.write(f"{json.dumps(history.document(runs), indent=2)}\n")
    elif not runs:
        of_cluster = f" for cluster {printable(given.cluster)}" if given.cluster else ""
        sys.stdout.write(f"no {'failed ' if given.failed else ''}runs yet{of_cluster}\n")
    else:
        width = shutil.get_terminal_size((100, 24)).columns
        sys.stdout.write(f"{history.render(runs, cluster=given.cluster, zone=None, width=width)}\n")
    return 0
