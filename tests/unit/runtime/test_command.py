"""The last words of our commands: where somebody interrupts them, and where the dependencies are missing."""

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tasks.runtime.command import INTERRUPTED, MISSING, NO_SPACE, UNREAD, ended

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "deployments" / "tls-sync.yaml"
COMMANDS = [
    ("flows",),
    ("flows", "--preflight"),
    ("flows", "--cluster-ids"),
    ("flows.watch",),
    ("deployments.target", "manifests"),
    ("deployments.target", "kubeconfig"),
]

# The signal comes when the module named is looked for, and a shell's background job would ignore it.
INTERRUPTED_AT = """
import os, runpy, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
module, command, *sys.argv[1:] = sys.argv[1:]
class Somebody:
    def find_spec(self, name, path, target=None):
        if name == module:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Somebody())
runpy.run_module(command, run_name="__main__", alter_sys=True)
"""


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=inherited | {"TLS_SYNC_CONFIG": str(EXAMPLE)} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("module", ["tasks.config.schema", "prefect.client.orchestration", "flows.tls_sync"])
def test_ctrl_c_before_a_run_says_that_nothing_was_written(tmp_path: Path, module: str) -> None:
    """One line, also while importing: there is no report above that could say so."""
    done = python("-c", INTERRUPTED_AT, module, "flows", PREFECT_HOME=str(tmp_path))
    words = "tls-sync: interrupted before a run began: nothing was written\n"
    assert (done.returncode, done.stdout, done.stderr) == (130, "", words)


@pytest.mark.parametrize("command", COMMANDS[1:], ids=" ".join)
def test_ctrl_c_ends_a_command_with_one_word(command: tuple[str, ...]) -> None:
    """Also while importing, and without a traceback."""
    done = python("-c", INTERRUPTED_AT, "pydantic", *command)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "tls-sync: interrupted\n")


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_without_the_dependencies_one_line_says_how_to_get_them(command: tuple[str, ...]) -> None:
    """A Python that knows no package but its own is told of `make`, not of a module."""
    done = python("-S", "-m", *command)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"tls-sync: {MISSING}\n")


ENDING = """
import atexit, sys
from tasks.runtime.command import exit_fast
class Told:
    def __del__(self):
        sys.stdout.write("taken apart\\n")
def command():
    global kept
    kept = Told()
    atexit.register(sys.stdout.write, "drained\\n")
    sys.stderr.write("a word")
    return eval(sys.argv[1])
sys.exit(exit_fast(command))
"""


def test_a_process_ends_at_once_with_its_exit_status_and_all_that_it_has_to_say() -> None:
    """Its exit handlers run, and what they say arrives; what it imported is not taken apart first."""
    done = python("-c", ENDING, "3", PYTHONUNBUFFERED="")
    assert (done.returncode, done.stdout, done.stderr) == (3, "drained\n", "a word")


@pytest.mark.parametrize(("error", "status"), [("sys.exit(2)", 2), ("1 / 0", 1)])
def test_an_error_ends_a_process_as_ever(error: str, status: int) -> None:
    """Its exit status is the error's own, and a traceback is not lost."""
    done = python("-c", ENDING, error)
    assert (done.returncode, done.stdout) == (status, "drained\ntaken apart\n")
    assert ("ZeroDivisionError" in done.stderr) == (status == 1)


def unread(*arguments: str) -> subprocess.CompletedProcess[str]:
    """With its output into a pipe whose reader has gone."""
    reader, writer = os.pipe()
    os.close(reader)
    environment = os.environ | {"PYTHONUNBUFFERED": "", "TLS_SYNC_CONFIG": str(EXAMPLE)}
    command = [sys.executable, *arguments]
    with os.fdopen(writer, "wb") as nobody:
        return subprocess.run(
            command, cwd=ROOT, env=environment, stdout=nobody, stderr=subprocess.PIPE, text=True, check=False
        )


SAYING = (
    "import sys; from tasks.runtime.command import ended; "
    "sys.exit(ended(lambda: sys.stdout.write('a' * {}) * 0))"
)


@pytest.mark.parametrize(
    "command",
    [("-m", "deployments.target", "manifests"), ("-c", SAYING.format(9)), ("-c", SAYING.format(10**6))],
    ids=["manifests", "a word", "much"],
)
def test_a_command_that_nobody_reads_ends_in_silence(command: tuple[str, ...]) -> None:
    """As in `python -m flows --history | head -1`, or where a kubectl behind it gives up and says why."""
    done = unread(*command)
    assert (done.returncode, done.stderr) == (UNREAD, "")


def test_a_command_whose_output_is_closed_or_full_or_knows_few_letters_says_so_at_most() -> None:
    """One line, no traceback; a letter that a terminal lacks is a question mark."""
    command = [sys.executable, "-m", "deployments.target", "manifests"]
    environment = os.environ | {"TLS_SYNC_CONFIG": str(EXAMPLE), "PYTHONUNBUFFERED": ""}
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (done.returncode, done.stderr) == (1, f"tls-sync: {NO_SPACE}\n")
    closed = ["bash", "-c", f"{shlex.join(command)} >&-"]
    done = subprocess.run(closed, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    script = (
        "import sys; from tasks.runtime.command import ended; "
        "sys.exit(ended(lambda: sys.stdout.write('✓') * 0))"
    )
    done = python("-c", script, PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stdout, done.stderr) == (0, "?", "")


def test_a_connection_that_breaks_is_not_taken_for_a_reader_that_has_gone() -> None:
    """It is a defect, and is told as one."""

    def command() -> int:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        ended(command)


def test_what_is_said_at_the_very_end_and_nobody_reads_is_told_as_python_does() -> None:
    """By an exit handler, in one line, with Python's own status."""
    done = unread("-c", ENDING, "0")
    assert done.returncode == 120
    assert "BrokenPipeError" in done.stderr
    assert "Traceback" not in done.stderr


def missing(module: str) -> Callable[[], int]:
    def command() -> int:
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)

    return command


@pytest.mark.parametrize("module", ["tasks.nowhere", "flows", "prefect.nowhere", "_ssl", ""])
def test_a_defect_of_ours_is_no_missing_dependency(module: str) -> None:
    """What is missing in our code, in a package that is there, or in Python itself is no matter of `make`."""
    with pytest.raises(ModuleNotFoundError):
        ended(missing(module))
    assert ended(missing("kubernetes")) == 1


@pytest.fixture
def fresh_handler() -> Iterator[None]:
    """That of a new process, whatever this one did before."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("fresh_handler")
def test_ctrl_c_is_heard_also_where_a_library_makes_an_error_of_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """pydantic-core, told in the middle of its work, raises an error whose text alone names it."""

    def command() -> int:
        try:
            os.kill(os.getpid(), signal.SIGINT)
        except KeyboardInterrupt:
            raise ValueError("cannot be serialized") from None
        return 0

    assert ended(command) == INTERRUPTED
    assert capsys.readouterr().err == "tls-sync: interrupted\n"


def test_any_other_error_is_raised_as_it_is() -> None:
    """A defect is not to pass for an interruption."""

    def command() -> int:
        raise ValueError("a defect")

    with pytest.raises(ValueError, match="a defect"):
        ended(command)
