"""The verbs of the command `tls-sync`."""

import click

from flows.cli.group import tls_sync


def verbs(at: click.Group = tls_sync, *above: str) -> list[tuple[tuple[str, ...], click.Command]]:
    """Return every verb, with the words that call it."""
    found = []
    for name, command in at.commands.items():
        if isinstance(command, click.Group):
            found += verbs(command, *above, name)
        else:
            found.append(((*above, name), command))
    return found
