"""A YAML file is read strictly, or refused without quoting its content."""

import subprocess
import sys
from pathlib import Path

import pytest

from tasks.runtime.yaml_file import YamlError, parse_yaml, read_yaml

CANARY = "canary-of-the-content"
LAUGHS = "a: &a [x]\n" + "".join(
    f"{this}: &{this} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, this in zip("abcdefgh", "bcdefghi", strict=True)
)


def refusal(content: bytes) -> str:
    with pytest.raises(YamlError) as error:
        parse_yaml(content)
    assert CANARY not in str(error.value)
    return str(error.value)


def test_parse_accepts_plain_yaml() -> None:
    """Mappings, lists, texts, numbers and booleans are parsed as YAML defines them."""
    content = b"owner: ops\nlist: [1, true, null, 'x']\nnested: {a: {a: b}}\n"
    assert parse_yaml(content) == {"owner": "ops", "list": [1, True, None, "x"], "nested": {"a": {"a": "b"}}}


def test_parse_accepts_json() -> None:
    """A kubeconfig may be JSON, which is YAML."""
    assert parse_yaml(b'{"kind": "Config", "users": []}') == {"kind": "Config", "users": []}


INVALID_LINE = "not valid YAML; check indentation, quotes and colons"
INVALID = "not valid YAML; is it a text file?"
TWICE = "a key occurs twice in one mapping"
REFUSED = {
    "a key occurs twice": (f"x: {CANARY}\ny: 1\nx: {CANARY}", f"line 1: {TWICE}"),
    "a key occurs twice in a nested mapping": (
        f"a:\n  - b: 1\n    {CANARY}: 2\n    {CANARY}: 3",
        f"line 2: {TWICE}",
    ),
    "a key occurs twice in braces": ("{a: 1, 'a': 2}", f"line 1: {TWICE}"),
    "a bracket is missing": (f"a: [{CANARY}\nb: 1", f"line 2: {INVALID_LINE}"),
    "a tab indents": (f"a:\n\t{CANARY}: 1", f"line 2: {INVALID_LINE}"),
    "a key is a list": ("a: 1\n[x, y]: 1", f"line 2: {INVALID_LINE}"),
    "it creates a Python object": (
        f"a: !!python/object/apply:os.system ['{CANARY}']",
        "line 1: a tag (!name); remove it",
    ),
    "it has a tag of its own": (f"a: !{CANARY} x", "line 1: a tag (!name); remove it"),
    "it has two documents": (f"a: 1\n---\nb: {CANARY}", f"line 2: {INVALID_LINE}"),
    "an alias leads nowhere": ("a: *nothing", "line 1: an alias (*name); write the content out"),
    "it contains a NUL": (f"a: {CANARY}\0", INVALID),
    "it is binary": ("\x7fELF\x02\x01\x01\0\0", INVALID),
    "a date does not exist": ("a: 2026-13-45", INVALID),
}


@pytest.mark.parametrize(("content", "message"), REFUSED.values(), ids=REFUSED)
def test_parse_refuses_when(content: str, message: str) -> None:
    """The refusal names the line, and quotes nothing of the content."""
    assert refusal(content.encode()) == message


def test_parse_refuses_when_it_is_not_utf_8() -> None:
    """A file in another encoding is refused, not guessed at."""
    assert refusal(b"a: \xff\xfe\xfa") == INVALID


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(LAUGHS, id="a billion laughs"),
        pytest.param("a: &a {x: 1}\nb: {<<: [*a, *a]}", id="merged mappings"),
        pytest.param("a: &a [*a]", id="a list that holds itself"),
    ],
)
def test_parse_refuses_aliases(content: str) -> None:
    """A few bytes can't expand to more than the memory of a machine."""
    refusal(content.encode())


@pytest.mark.parametrize(
    "content",
    [
        "a: !!set {x, y}",
        "a: !!binary aGk=",
        "a: !!omap [x: 1]",
        "a: !!int ''",
        "a: !!bool canary",
        "a: !!timestamp x",
    ],
)
def test_parse_refuses_tags(content: str) -> None:
    """A tag would create a value of a type that the checks of configurations do not expect."""
    refusal(content.encode())


def test_parse_survives_deep_nesting() -> None:
    """A file of brackets is refused, and does not crash the process."""
    program = (
        "import resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n"
        "from tasks.runtime.yaml_file import YamlError, parse_yaml\n"
        "try: parse_yaml(b'[' * 100_000)\n"
        "except YamlError: print('refused')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "refused\n")


def test_read_accepts_a_file_of_the_maximum_size(tmp_path: Path) -> None:
    """One byte more is refused."""
    file = tmp_path / "file.yaml"
    file.write_text("a: bcd")
    assert read_yaml(file, 6) == {"a": "bcd"}
    with pytest.raises(YamlError, match=r"^the file is larger than 5 bytes$"):
        read_yaml(file, 5)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        pytest.param("missing.yaml", "the file does not exist; check the path", id="it is missing"),
        pytest.param(
            "", r"the file can't be read \(Is a directory\); check path and permissions", id="it is a folder"
        ),
    ],
)
def test_read_refuses_when(tmp_path: Path, path: str, message: str) -> None:
    """The refusal of a file that can't be read says what to check."""
    with pytest.raises(YamlError, match=rf"^{message}$"):
        read_yaml(tmp_path / path, 100)
