"""Placeholders in names on a target, `{name}` and `{1}`. Pure.

`{name}` stands for the name of the certificate's Secret on OPS, `{1}` for what the `*` of the glob took of
it.
"""

import re

from tasks.domain import names

PLACEHOLDER = re.compile(r"\{(name|1)\}")
TAKEN, OWN_NAME = "{1}", "{name}"


def has_placeholder(text: str) -> bool:
    return "{" in text


def taken_by(pattern: str, name: str) -> str | None:
    """Return what the only `*` of a glob takes of a name that it matches; None if that is no DNS label."""
    if pattern.count("*") != 1:
        return None
    head, tail = pattern.split("*")
    taken = name[len(head) : len(name) - len(tail)]
    return taken if names.is_namespace(taken) else None


def filled(template: str, name: str, taken: str | None) -> str | None:
    """Return the template for this certificate; None where it has `{1}`, and that is no DNS label."""
    if TAKEN in template and taken is None:
        return None
    return template.replace(TAKEN, taken or "").replace("{name}", name)


def glob_of(template: str) -> str:
    """Return a glob that matches all that the template can yield."""
    return PLACEHOLDER.sub("*", template)


def example_of(template: str) -> str:
    """Return something that the template can yield, if its other text is valid."""
    return PLACEHOLDER.sub("x", template)
