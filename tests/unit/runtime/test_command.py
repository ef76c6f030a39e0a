"""How commands end when they are interrupted, when nobody reads them, or without their dependencies."""

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tasks.runtime.command import INTERRUPTED, MISSING_DEPENDENCIES, NO_SPACE, OUTPUT_CLOSED, run_command

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "deployments" / "tls-sync.yaml"
COMMANDS = [
    ("flows",),
    ("flows", "--preflight"),
    ("flows", "--cluster-ids"),
    ("flows.watch",),
    ("flows.cli", "preflight"),
    ("flows.cli", "watch"),
    ("flows.cli", "rights", "manifests"),
    ("deployments.target", "kubeconfig"),
]

# The signal is sent when the named module is imported. Background jobs ignore SIGINT, so the handler is set.
INTERRUPTED_AT = """
import os, runpy, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
module, command, *sys.argv[1:] = sys.argv[1:]
class Interrupter:
    def find_spec(self, name, path, target=None):
        if name == module:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupter())
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
    """One line says so, also during imports."""
    done = python("-c", INTERRUPTED_AT, module, "flows", PREFECT_HOME=str(tmp_path))
    words = "tls-sync: interrupted before a run began: nothing was written\n"
    assert (done.returncode, done.stdout, done.stderr) == (130, "", words)


@pytest.mark.parametrize("command", COMMANDS[1:], ids=" ".join)
def test_ctrl_c_ends_a_command_without_a_traceback(command: tuple[str, ...]) -> None:
    """One line says `interrupted`, also during imports."""
    done = python("-c", INTERRUPTED_AT, "pydantic", *command)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "tls-sync: interrupted\n")


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_without_the_dependencies_one_line_says_how_to_get_them(command: tuple[str, ...]) -> None:
    """With a Python that has no packages, the message names `make`, not a module."""
    done = python("-S", "-m", *command)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"tls-sync: {MISSING_DEPENDENCIES}\n")


ENDING = """
import atexit, sys
from tasks.runtime.command import exit_fast
class Deleted:
    def __del__(self):
        sys.stdout.write("torn down\\n")
def command():
    global deleted
    deleted = Deleted()
    atexit.register(sys.stdout.write, "drained\\n")
    sys.stderr.write("a word")
    return eval(sys.argv[1])
sys.exit(exit_fast(command))
"""


def test_a_process_exits_fast_with_its_exit_status_and_all_of_its_output() -> None:
    """Its exit handlers run, and their output arrives; its modules are not torn down first."""
    done = python("-c", ENDING, "3", PYTHONUNBUFFERED="")
    assert (done.returncode, done.stdout, done.stderr) == (3, "drained\n", "a word")


@pytest.mark.parametrize(("error", "status"), [("sys.exit(2)", 2), ("1 / 0", 1)])
def test_an_exception_ends_a_process_as_usual(error: str, status: int) -> None:
    """The exit status is that of the exception, and its traceback is printed."""
    done = python("-c", ENDING, error)
    assert (done.returncode, done.stdout) == (status, "drained\ntorn down\n")
    assert ("ZeroDivisionError" in done.stderr) == (status == 1)


def unread(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command whose output is a pipe without a reader."""
    reader, writer = os.pipe()
    os.close(reader)
    environment = os.environ | {"PYTHONUNBUFFERED": "", "TLS_SYNC_CONFIG": str(EXAMPLE)}
    command = [sys.executable, *arguments]
    with os.fdopen(writer, "wb") as nobody:
        return subprocess.run(
            command, cwd=ROOT, env=environment, stdout=nobody, stderr=subprocess.PIPE, text=True, check=False
        )


PRINTING = (
    "import sys; from tasks.runtime.command import run_command; "
    "sys.exit(run_command(lambda: sys.stdout.write('a' * {}) * 0))"
)


@pytest.mark.parametrize(
    "command",
    [("-m", "deployments.target", "manifests"), ("-c", PRINTING.format(9)), ("-c", PRINTING.format(10**6))],
    ids=["manifests", "a few bytes", "a megabyte"],
)
def test_a_command_whose_reader_is_gone_prints_no_error(command: tuple[str, ...]) -> None:
    """Its exit status is that of SIGPIPE, as in `python -m flows --history | head -1`."""
    done = unread(*command)
    assert (done.returncode, done.stderr) == (OUTPUT_CLOSED, "")


def test_a_closed_or_full_or_ascii_output_causes_no_traceback() -> None:
    """At most one line says so; a character that the encoding lacks becomes a question mark."""
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
        "import sys; from tasks.runtime.command import run_command; "
        "sys.exit(run_command(lambda: sys.stdout.write('✓') * 0))"
    )
    done = python("-c", script, PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stdout, done.stderr) == (0, "?", "")


def test_a_broken_connection_is_not_taken_for_closed_output() -> None:
    """It is a bug, and is raised."""

    def command() -> int:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        run_command(command)


def test_closed_output_at_exit_is_reported_by_python() -> None:
    """The output of an exit handler that nobody reads costs one line and Python's own exit status."""
    done = unread("-c", ENDING, "0")
    assert done.returncode == 120
    assert "BrokenPipeError" in done.stderr
    assert "Traceback" not in done.stderr


def missing(module: str) -> Callable[[], int]:
    def command() -> int:
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)

    return command


@pytest.mark.parametrize("module", ["tasks.nowhere", "flows", "prefect.nowhere", "_ssl", ""])
def test_a_bug_is_not_taken_for_a_missing_dependency(module: str) -> None:
    """`make` can't install a module that our code, an installed package or Python itself lacks."""
    with pytest.raises(ModuleNotFoundError):
        run_command(missing(module))
    assert run_command(missing("kubernetes")) == 1


@pytest.fixture
def fresh_handler() -> Iterator[None]:
    """The SIGINT handler of a new process."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("fresh_handler")
def test_ctrl_c_counts_even_if_a_library_turns_it_into_another_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """pydantic-core raises an error of its own when it is interrupted."""

    def command() -> int:
        try:
            os.kill(os.getpid(), signal.SIGINT)
        except KeyboardInterrupt:
            raise ValueError("cannot be serialized") from None
        return 0

    assert run_command(command) == INTERRUPTED
    assert capsys.readouterr().err == "tls-sync: interrupted\n"


def test_any_other_error_is_raised_unchanged() -> None:
    """A bug does not pass for an interruption."""

    def command() -> int:
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        run_command(command)
