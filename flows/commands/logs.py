"""`python -m flows --logs RUN`: the log of a run."""

import argparse
import logging
import sys

from tasks.orchestration.run_history import RunsError, find_run, prefect_api, read_logs


def main(given: argparse.Namespace) -> int:
    """Exit status 0 where Prefect knows the run."""
    try:
        with prefect_api() as client:
            count = 0
            for moment, level, text in read_logs(client, find_run(client, given.logs)):
                began = f"{moment.astimezone():%H:%M:%S}"
                sys.stdout.write(f"{began} {logging.getLevelName(level):8} {readable(text)}\n")
                count += 1
    except RunsError as error:
        sys.stderr.write(f"tls-sync: {error}\n")
        return 1
    if not count:
        sys.stdout.write("nothing was logged\n")
    return 0


def readable(text: str) -> str:
    """Lines stay lines; whatever else could steer a terminal does not."""
    return "".join(one if one.isprintable() or one in "\n\t" else "?" for one in text)
