"""`python -m flows --inventory`: the inventory as text, JSON or an HTML page. It needs no Prefect server."""

import argparse
import json
import os
import shutil
import sys
from pathlib import Path

from tasks.config.load import load_config
from tasks.domain.errors import ConfigError
from tasks.inventory import document, page, summary, table
from tasks.inventory.collect import collect_inventory


def main(given: argparse.Namespace) -> int:
    """Return exit status 0 if every wanted copy is in sync or pending and is served as stored, else 1."""
    path = given.html
    if path and not Path(path).parent.is_dir():  # before the clusters are read, which takes a while
        return fail(f"{path} can't be written: there is no folder {Path(path).parent}")
    try:
        report = collect_inventory(load_config(), given.cluster, given.certificate)
    except ConfigError as error:
        return fail(str(error))
    try:
        if path:
            Path(path).write_text(page.render(report), encoding="utf-8")
    except OSError as error:
        return fail(f"{path} can't be written: {error.strerror}")
    if given.json:
        sys.stdout.write(f"{json.dumps(document.document(report), indent=2)}\n")
    elif path:
        sys.stdout.write(f"{summary.inventory_verdict(report).message}\nwritten to {path}\n")
    else:
        sys.stdout.write(f"{table.render(report, terminal_width())}\n")
    return 0 if report.ok else 1


def fail(text: str) -> int:
    sys.stderr.write(f"tls-sync: {text}\n")
    return 1


def terminal_width() -> int | None:
    """Return the width in characters; None if the output goes to a file or another program."""
    if sys.stdout.isatty() or os.environ.get("COLUMNS"):
        return shutil.get_terminal_size().columns
    return None
