"""`tls-sync history`: who started which runs, when, and the state of each cluster."""

import json
import shutil
import sys
from itertools import islice

from tasks.domain.text import printable
from tasks.orchestration.prefect_api import PrefectAPIError, prefect_api
from tasks.orchestration.run_history import read_runs
from tasks.report import history
from tasks.runtime.progress import saying


def run(cluster: str | None, *, failed: bool, limit: int, output: str) -> int:
    """Return exit status 0, also if there is no run yet; 1 if Prefect's API can't be reached."""
    try:
        with saying("asking Prefect's API"), prefect_api() as client:
            matching = (
                one
                for one in read_runs(client, failed=failed)
                if history.matches(one, cluster, failed=failed)
            )
            runs = list(islice(matching, limit))
    except PrefectAPIError as error:
        sys.stderr.write(f"tls-sync: {error}\n")
        return 1
    if output == "json":
        sys.stdout.write(f"{json.dumps(history.document(runs), indent=2)}\n")
    elif not runs:
        of_cluster = f" for cluster {printable(cluster)}" if cluster else ""
        sys.stdout.write(f"no {'failed ' if failed else ''}runs yet{of_cluster}\n")
    else:
        width = shutil.get_terminal_size((100, 24)).columns
        sys.stdout.write(f"{history.render(runs, cluster=cluster, zone=None, width=width)}\n")
    return 0
