"""Faults of the configuration, and how the raw document is read to find them. Pure."""

from typing import Any

MAX_FAULTS = 100
"""Maximum number of faults in a message. Overlapping patterns could have a million."""
MISSING = "is required; add it"
EMPTY = "must not be empty; give at least one, or remove the block"

Fault = tuple[str, str]
"""Path in the file, and a message with the fault and its remedy."""
Located = tuple[str, dict[str, Any]]
"""Path in the file, and what is there."""


def list_of(mapping: dict[str, Any], key: str) -> list[Any]:
    value = mapping.get(key)
    return value if isinstance(value, list) else []


def texts_of(mapping: dict[str, Any], key: str) -> list[str]:
    return [value for value in list_of(mapping, key) if isinstance(value, str)]
