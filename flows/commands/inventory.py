"""`python -m flows --inventory`: the survey in a terminal, as JSON or as a page. Needs no Prefect server."""

import argparse
import json
import os
import shutil
import sys
from pathlib import Path

from tasks.config.load import load_config
from tasks.domain.errors import ConfigError
from tasks.inventory import document, summary, table
from tasks.inventory import page as survey_page
from tasks.inventory.collect import survey


def main(given: argparse.Namespace) -> int:
    """Exit status 0 where every wanted copy is in sync and nothing is served otherwise than stored."""
    page = given.html
    if page and not Path(page).parent.is_dir():  # said before anybody waits
        return complain(f"{page} can't be written: there is no folder {Path(page).parent}")
    try:
        found = survey(load_config(), given.cluster, given.certificate)
    except ConfigError as error:
        return complain(str(error))
    if page and (trouble := _write(page, survey_page.render(found))):
        return complain(f"{page} can't be written: {trouble}")
    if given.json:
        sys.stdout.write(f"{json.dumps(document.document(found), indent=2)}\n")
    elif page:
        sys.stdout.write(f"{summary.verdict(found).message}\nwritten to {page}\n")
    else:
        sys.stdout.write(f"{table.render(found, terminal_width())}\n")
    return 0 if found.ok else 1


def _write(page: str, content: str) -> str:
    """Why it can't be written; empty where it was."""
    try:
        Path(page).write_text(content, encoding="utf-8")
    except OSError as error:
        return str(error.strerror)
    return ""


def complain(text: str) -> int:
    sys.stderr.write(f"tls-sync: {text}\n")
    return 1


def terminal_width() -> int | None:
    """None where the output goes to a file or another program, which is to get everything."""
    if sys.stdout.isatty() or os.environ.get("COLUMNS"):
        return shutil.get_terminal_size().columns
    return None
