"""`tls-sync logs RUN` shows the log of a run."""

import logging
import sys

from tasks.orchestration.prefect_api import PrefectAPIError, prefect_api
from tasks.orchestration.run_history import find_run, read_logs


def run(chosen: str) -> int:
    """Return exit status 0, or 1 if Prefect does not answer or has no such run."""
    try:
        with prefect_api() as client:
            count = 0
            for logged_at, level, text in read_logs(client, find_run(client, chosen)):
                time = f"{logged_at.astimezone():%H:%M:%S}"
                sys.stdout.write(f"{time} {logging.getLevelName(level):8} {readable(text)}\n")
                count += 1
    except PrefectAPIError as error:
        sys.stderr.write(f"tls-sync: {error}\n")
        return 1
    if not count:
        sys.stdout.write("nothing was logged\n")
    return 0


def readable(text: str) -> str:
    """Replace control characters other than line breaks and tabs: they could control the terminal."""
    return "".join(one if one.isprintable() or one in "\n\t" else "?" for one in text)
