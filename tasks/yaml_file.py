"""Reads one YAML file strictly: bounded in size, no duplicate keys, no tags."""

from pathlib import Path
from typing import Any

import yaml


class YamlError(Exception):
    """The file can't be read; the message gives the place and never quotes the content."""


class _Loader(yaml.CSafeLoader):
    def construct_mapping(
        self,
        node: yaml.MappingNode,
        deep: bool = False,  # noqa: FBT001, FBT002  PyYAML's signature
    ) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if len(keys) != len(set(keys)):
            raise YamlError(f"line {node.start_mark.line + 1}: a key stands twice in one mapping")
        mapping: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        return mapping


def read_yaml(path: Path, max_bytes: int) -> Any:
    """The one document of a file. Raises YamlError where it can't be had."""
    try:
        with path.open("rb") as file:
            content = file.read(max_bytes + 1)
    except FileNotFoundError:
        raise YamlError("the file does not exist; check the path") from None
    except OSError as error:
        raise YamlError(f"the file can't be read ({error.strerror}); check path and rights") from None
    if len(content) > max_bytes:
        raise YamlError(f"the file is larger than {max_bytes} bytes")
    return parse_yaml(content)


def parse_yaml(content: bytes) -> Any:
    try:
        return yaml.load(content, _Loader)  # noqa: S506  _Loader is a SafeLoader
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise YamlError(f"{line}not valid YAML; check indentation, quotes and colons") from None
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError):
        raise YamlError("not valid YAML; is it a text file?") from None
