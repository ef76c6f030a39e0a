"""Output of the demo: plain text for a terminal of 100 columns."""

import os
import sys
import textwrap

from deployments.sandbox.progress import say

WIDTH = 100
_BOLD, _GREEN, _RED, _END = "\x1b[1m", "\x1b[32m", "\x1b[31m", "\x1b[0m"


def heading(text: str) -> None:
    _print("")
    _print(_styled(text, _BOLD))
    _print(_styled("=" * len(text), _BOLD))


def paragraph(text: str) -> None:
    _print(textwrap.fill(" ".join(text.split()), WIDTH, break_on_hyphens=False, break_long_words=False))


def report(text: str) -> None:
    """Print the flow's report as it is in the log."""
    _print(f"\n{text}\n")


def success(text: str) -> None:
    _print(_styled(_hanging(text), _GREEN))


def failure(text: str) -> None:
    _print(_styled(_hanging(text), _RED))


def progress(text: str) -> None:
    say(f"... {text}")


def _hanging(text: str) -> str:
    indent = " " * (text.index(": ") + 2) if ": " in text[:20] else "  "
    return textwrap.fill(
        text, WIDTH, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False
    )


def _styled(text: str, style: str) -> str:
    colours = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    return f"{style}{text}{_END}" if colours else text


def _print(text: str) -> None:
    print(text, flush=True)  # noqa: T201
