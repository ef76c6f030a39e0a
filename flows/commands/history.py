"""`python -m flows --history`: who ran what, when, with which parameters, and what became of each cluster."""

import argparse
import json
import shutil
import sys
from itertools import islice

from tasks.domain.text import printable
from tasks.orchestration.run_history import RunsError, prefect_api, read_runs
from tasks.report import history

RUNS = 20
"""How many are shown unless told otherwise."""


def main(given: argparse.Namespace) -> int:
    """Exit status 0, also where there is no run yet; 1 where Prefect can't be asked."""
    try:
        with prefect_api() as client:
            chosen = (
                run
                for run in read_runs(client, failed=given.failed)
                if history.matches(run, given.cluster, failed=given.failed)
            )
            runs = list(islice(chosen, given.limit or RUNS))
    except RunsError as error:
        sys.stderr.write(f"tls-sync: {error}\n")
        return 1
    if given.json:
        sys.stdout.write(f"{json.dumps(history.document(runs), indent=2)}\n")
    elif not runs:
        for_it = f" for cluster {printable(given.cluster)}" if given.cluster else ""
        sys.stdout.write(f"no {'failed ' if given.failed else ''}runs yet{for_it}\n")
    else:
        width = shutil.get_terminal_size((100, 24)).columns
        sys.stdout.write(f"{history.render(runs, cluster=given.cluster, zone=None, width=width)}\n")
    return 0
