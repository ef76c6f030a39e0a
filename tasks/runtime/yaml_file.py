"""Reads a YAML file strictly: limited in size and depth, no duplicate keys, no tags, aliases on request.

Aliases multiply (437 bytes can grow to gigabytes), tags create other types than text, numbers, lists and
mappings, and deep nesting overflows the stack of libyaml's composer.
"""

from pathlib import Path
from typing import Any

import yaml

from tasks.runtime.files import FileError, read_file

MAX_DEPTH = 20
MAX_NODES = 500_000
"""Maximum number of values with aliases expanded. 300 clusters with 100 routes each have about 200,000."""


class YamlError(Exception):
    """The file can't be read. The message names the line and never quotes the content."""


class _Loader(yaml.CSafeLoader):
    def construct_mapping(
        self,
        node: yaml.MappingNode,
        deep: bool = False,  # noqa: FBT002  PyYAML's signature
    ) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if len(keys) != len(set(keys)):
            raise YamlError(f"line {node.start_mark.line + 1}: a key occurs twice in one mapping")
        mapping: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        return mapping


def read_yaml(path: Path, max_bytes: int, *, aliases: bool = False) -> Any:
    """Return the only document of a file. Raises YamlError."""
    try:
        content = read_file(path, max_bytes)
    except FileError as error:
        raise YamlError(str(error)) from None
    return parse_yaml(content, aliases=aliases)


def parse_yaml(content: bytes, *, aliases: bool = False) -> Any:
    """Return the only document. Raises YamlError."""
    try:
        _check_size(content, aliases=aliases)
        return yaml.load(content, _Loader)  # noqa: S506  _Loader is a SafeLoader
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise YamlError(f"{line}not valid YAML; check indentation, quotes and colons") from None
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError):
        raise YamlError("not valid YAML; is it a text file?") from None


def _check_size(content: bytes, *, aliases: bool) -> None:
    """Refuse a document that is too deep, or too large with aliases expanded, before it is constructed."""
    nodes, open_collections = 0, []
    sizes: dict[str, int] = {}
    for event in yaml.parse(content, yaml.CSafeLoader):
        line = event.start_mark.line + 1 if event.start_mark else 0
        if getattr(event, "tag", None):
            raise YamlError(f"line {line}: a tag (!name); remove it")
        if isinstance(event, yaml.AliasEvent):
            if (
                not aliases or event.anchor not in sizes
            ):  # an anchor that is not complete: the value would contain itself
                raise YamlError(f"line {line}: an alias (*name); write the content out")
            nodes += sizes[event.anchor]
        elif isinstance(event, yaml.CollectionStartEvent):
            open_collections.append((event.anchor, nodes))
            nodes += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_collections.pop()
            sizes[anchor or ""] = nodes - before
        elif isinstance(event, yaml.ScalarEvent):
            nodes += 1
            sizes[event.anchor or ""] = 1
        if len(open_collections) > MAX_DEPTH or nodes > MAX_NODES:
            raise YamlError(f"line {line}: deeper than {MAX_DEPTH} levels, or more than {MAX_NODES} values")
