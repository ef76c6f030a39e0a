"""pip's settings on this machine, for a build in another root: they say where packages come from."""

import configparser
import os
from collections.abc import Mapping
from pathlib import Path

_SECTIONS = ("global", "install")
_NOT_FOR_OTHERS = ("config-file", "cache-dir", "require-virtualenv", "python", "target", "user")


def settings(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the settings of pip's files, then of the environment, as pip itself reads them."""
    parser = configparser.RawConfigParser()
    parser.read(_files(environment))
    found = {
        name.replace("_", "-"): value
        for section in _SECTIONS
        if parser.has_section(section)
        for name, value in parser.items(section)
    }
    for name, value in environment.items():
        if name.startswith("PIP_"):
            found[name.removeprefix("PIP_").lower().replace("_", "-")] = value
    return {name: value for name, value in found.items() if name not in _NOT_FOR_OTHERS}


def write(file: Path, found: Mapping[str, str]) -> None:
    parser = configparser.RawConfigParser()
    parser["global"] = dict(found)
    file.touch(mode=0o600)  # an index's address can contain a password
    with file.open("w") as output:
        parser.write(output)


def paths(found: Mapping[str, str]) -> list[Path]:
    """Return the files that the settings name, which the build needs at the same path."""
    words = (Path(word) for value in found.values() for word in value.split())
    return [path for path in dict.fromkeys(words) if path.is_absolute() and path.exists()]


def _files(environment: Mapping[str, str]) -> list[Path]:
    home = Path.home()
    user = Path(environment.get("XDG_CONFIG_HOME") or home / ".config") / "pip" / "pip.conf"
    files = [Path("/etc/xdg/pip/pip.conf"), Path("/etc/pip.conf"), home / ".pip" / "pip.conf", user]
    named = environment.get("PIP_CONFIG_FILE")
    return [*files, Path(named)] if named else files
