"""Files of cert-manager's module that are templates of its chart, read without Helm."""

import re

_LINES = re.compile(r"^[ ]*\{\{.*?\}\}[ ]*\n", re.MULTILINE | re.DOTALL)
_VALUES = re.compile(r"\{\{.*?\}\}")


def without_helm(template: str) -> str:
    """Return YAML in which every condition holds, and every value is the word `release`.

    In these templates, conditions and comments are lines of their own, and values are names and labels.
    """
    return _VALUES.sub("release", _LINES.sub("", template))
