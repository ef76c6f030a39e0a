"""`tls-sync`, also as `python -m flows.cli`."""

import sys
from collections.abc import Sequence

from tasks.runtime.command import exit_fast, run_command

WRONG_OPTION_OF_PLAN = 64
"""EX_USAGE of sysexits.h: with --detailed-exitcode, status 2 means that there is something to do."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, then do what was asked for; return the exit status."""
    import click  # noqa: PLC0415  a dependency, whose absence run_command() explains

    from flows.cli.group import tls_sync  # noqa: PLC0415

    given = [*(sys.argv[1:] if arguments is None else arguments)]
    try:
        action = tls_sync.main(given, prog_name="tls-sync", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return WRONG_OPTION_OF_PLAN if "--detailed-exitcode" in given else error.exit_code
    return int(action() if callable(action) else action or 0)


def script() -> int:
    return exit_fast(lambda: run_command(main))


if __name__ == "__main__":
    sys.exit(script())
