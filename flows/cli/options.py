"""Options that several verbs have, and the types of their values."""

import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from tasks.domain.names import is_name, is_namespace
from tasks.runtime.progress import saying

VARIABLE, DEFAULT = "TLS_SYNC_CONFIG", "tls-sync.yaml"

Action = Callable[[], int]
"""What a verb returns: it does the work, and returns the exit status.

click turns signals and closed output into errors of its own, so it only parses.
"""
Decorator = Callable[[Callable[..., Action]], Callable[..., Action]]


class NonEmpty(click.ParamType[str]):
    """Text. An empty one is refused: often it is a variable that is not set."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not str(value).strip():
            self.fail("it is empty; is a variable not set?", param, ctx)
        return str(value)


class ClusterName(NonEmpty):
    """The name of a cluster, which the shell completes."""

    name = "name"

    def shell_complete(
        self, _ctx: click.Context, _param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        from tasks.config.load import load_config  # noqa: PLC0415  not for --help
        from tasks.domain.errors import ConfigError  # noqa: PLC0415

        try:
            names = load_config().names
        except ConfigError:  # while somebody types is no time to say it
            return []
        return [CompletionItem(one) for one in names if one.startswith(incomplete)]


class Qualified(click.ParamType[tuple[str, str]]):
    """A name within something: NAMESPACE/NAME, CLUSTER/CERTIFICATE."""

    def __init__(self, form: str = "NAMESPACE/NAME") -> None:
        self._form, self.name = form, form.lower()

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        within, _, name = str(value).partition("/")
        if not (is_namespace(within) and is_name(name)):
            self.fail(f"{self._form} is expected", param, ctx)
        return within, name


class Pair(click.ParamType[tuple[str, str]]):
    """NAME=VALUE."""

    name = "name=value"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        name, _, given = str(value).partition("=")
        if not name or not given:
            self.fail(f"{value!r} is not NAME=VALUE", param, ctx)
        return name, given


def _use_config(_ctx: click.Context, _param: click.Parameter, path: str | None) -> None:
    """Let TLS_SYNC_CONFIG name the file of --config, or, if that is all there is, tls-sync.yaml here."""
    if path:
        os.environ[VARIABLE] = path
    elif not os.environ.get(VARIABLE) and Path(DEFAULT).is_file():
        os.environ[VARIABLE] = DEFAULT


def calling(module: str, *arguments: Any, **options: Any) -> Action:
    """Return what imports a module of flows/commands/ and calls its run().

    It is imported late, since some need no Prefect, whose import takes a second, and --help needs none.
    """

    def action() -> int:
        from tasks.orchestration.process import forbid_dumps  # noqa: PLC0415  not for --help

        forbid_dumps()
        with saying("loading"):
            command = import_module(f"flows.commands.{module}")
        return int(command.run(*arguments, **options))

    return action


config = click.option(
    "--config",
    metavar="FILE",
    type=NonEmpty(),
    callback=_use_config,
    expose_value=False,
    help=f"The configuration, in place of {VARIABLE}.",
)
cluster = click.option(
    "--cluster", type=ClusterName(), help="Only this cluster, by its name in the configuration."
)
certificate = click.option(
    "--certificate", type=NonEmpty(), help="Only this certificate, by its Secret's name on OPS."
)


def output(*formats: str) -> Decorator:
    return click.option(
        "-o",
        "--output",
        type=click.Choice(["table", *formats]),
        default="table",
        show_default=True,
        help="For people, for programs, or as a page."
        if "html" in formats
        else "For people, or for programs.",
    )


def examples(*lines: str) -> str:
    """Return the end of a help text, whose lines click is not to wrap."""
    return "\b\n" + "\n".join(["Examples:", *(f"  {line}" for line in lines)])
