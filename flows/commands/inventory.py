"""`tls-sync inventory`: the inventory as text, JSON or an HTML page. It needs no Prefect server."""

import json
import os
import shutil
import sys
from pathlib import Path

from flows.commands.own_kubeconfig import warn_of_another_kubeconfig
from tasks.config.load import load_config
from tasks.domain.errors import ConfigError
from tasks.inventory import document, page, summary, table
from tasks.inventory.collect import collect_inventory
from tasks.runtime.progress import saying


def run(cluster: str | None, certificate: str | None, *, output: str, file: str | None) -> int:
    """Return exit status 0 if every wanted copy is in sync or pending and is served as stored, else 1."""
    if file and not Path(file).parent.is_dir():  # before the clusters are read, which takes a while
        return fail(f"{file} can't be written: there is no folder {Path(file).parent}")
    warn_of_another_kubeconfig()
    try:
        with saying("asking OPS and the clusters"):
            report = collect_inventory(load_config(), cluster, certificate)
    except ConfigError as error:
        return fail(str(error))
    width = None if file else terminal_width()
    text = {
        "html": lambda: page.render(report),
        "json": lambda: f"{json.dumps(document.document(report), indent=2)}\n",
        "table": lambda: f"{table.render(report, width)}\n",
    }[output]()
    try:
        if file:
            Path(file).write_text(text, encoding="utf-8")
            address = Path(file).resolve().as_uri()
            text = f"{summary.inventory_verdict(report).message}\nwritten to {file}: {address}\n"
    except OSError as error:
        return fail(f"{file} can't be written: {error.strerror}")
    sys.stdout.write(text)
    return 0 if report.ok else 1


def fail(text: str) -> int:
    sys.stderr.write(f"tls-sync: {text}\n")
    return 1


def terminal_width() -> int | None:
    """Return the width in characters; None if the output goes to a file or another program."""
    if sys.stdout.isatty() or os.environ.get("COLUMNS"):
        return shutil.get_terminal_size().columns
    return None
