"""Reads one YAML file strictly: bounded in size and depth, no duplicate keys, no tags, aliases on request.

Aliases multiply (437 bytes can grow to gigabytes), tags make other things than text, numbers, lists and
mappings, and deep nesting makes libyaml's composer overflow its stack.
"""

from pathlib import Path
from typing import Any

import yaml

from tasks.runtime.files import FileError, read_file

MAX_DEPTH = 20
MAX_NODES = 500_000
"""Values in a file, aliases written out; 300 clusters with 100 routes each have about 200,000."""


class YamlError(Exception):
    """The file can't be read; the message gives the place and never quotes the content."""


class _Loader(yaml.CSafeLoader):
    def construct_mapping(
        self,
        node: yaml.MappingNode,
        deep: bool = False,  # noqa: FBT002  PyYAML's signature
    ) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if len(keys) != len(set(keys)):
            raise YamlError(f"line {node.start_mark.line + 1}: a key stands twice in one mapping")
        mapping: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        return mapping


def read_yaml(path: Path, max_bytes: int, *, aliases: bool = False) -> Any:
    """The one document of a file. Raises YamlError where it can't be had."""
    try:
        content = read_file(path, max_bytes)
    except FileError as error:
        raise YamlError(str(error)) from None
    return parse_yaml(content, aliases=aliases)


def parse_yaml(content: bytes, *, aliases: bool = False) -> Any:
    try:
        _measure(content, aliases=aliases)
        return yaml.load(content, _Loader)  # noqa: S506  _Loader is a SafeLoader
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise YamlError(f"{line}not valid YAML; check indentation, quotes and colons") from None
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError):
        raise YamlError("not valid YAML; is it a text file?") from None


def _measure(content: bytes, *, aliases: bool) -> None:
    """Refuse what is too deep or too large once its aliases are written out, before anything is built."""
    nodes, open_collections = 0, []
    sizes: dict[str, int] = {}
    for event in yaml.parse(content, yaml.CSafeLoader):
        line = event.start_mark.line + 1 if event.start_mark else 0
        if getattr(event, "tag", None):
            raise YamlError(f"line {line}: a tag (!name); remove it")
        if isinstance(event, yaml.AliasEvent):
            if not aliases or event.anchor not in sizes:  # not yet there: it would hold itself
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
