"""The memory and environment of a process are protected, and a client certificate is on no disk."""

import ctypes
import json
import os
import resource
import signal
import ssl
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tasks.kubeconfig.reader import parse_access
from tasks.orchestration import process
from tests.support.scripts import printed
from tests.unit.kubeconfig.test_reader import CERTIFICATE, KEY, b64, document

NOBODY = 65534
PTRACE_ATTACH, PTRACE_DETACH = 16, 17
LIBC = ctypes.CDLL(None, use_errno=True)

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux has /proc")


def as_nobody() -> None:
    """An ordinary user's process, as after it has begun: a change of user alone makes it undumpable."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    LIBC.prctl(process.PR_SET_DUMPABLE, *map(ctypes.c_ulong, (1, 0, 0, 0)))


@contextmanager
def child(work: Callable[[], Any]) -> Iterator[tuple[int, Any]]:
    """Fork; yield the child's process id and what `work` returned there, while it is alive."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.write(writing, json.dumps(work()).encode() + b"\n")
            os.close(writing)
            signal.pause()
        finally:
            os._exit(1)
    os.close(writing)
    try:
        with os.fdopen(reading) as answer:
            yield pid, json.loads(answer.readline() or '"it died"')
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def readable_parts(pid: int) -> list[str]:
    """Return what another process of the same user can read of it."""
    as_nobody()
    found = []
    for name in ("environ", "mem", "maps"):
        with suppress(OSError), Path(f"/proc/{pid}/{name}").open("rb") as file:
            found += [name] if name == "mem" or file.read(1) else []
    if LIBC.ptrace(PTRACE_ATTACH, pid, None, None) == 0:
        os.waitpid(pid, 0x40000000)  # __WALL
        LIBC.ptrace(PTRACE_DETACH, pid, None, None)
        found.append("ptrace")
    return found


def protected() -> bool:
    as_nobody()
    process.forbid_dumps()
    return True


def test_no_other_process_of_the_user_can_read_ours() -> None:
    """Neither /proc nor a debugger can read it, where this system lets the user read other processes."""
    with child(as_nobody) as (pid, _), child(lambda: readable_parts(pid)) as (_, found):
        if "environ" not in found:
            pytest.skip("this system lets no process look into another one")
    with child(protected) as (pid, _), child(lambda: readable_parts(pid)) as (_, found):
        assert found == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may")
def test_root_can_measure_a_process_of_ours() -> None:
    """Root can measure the memory of a process of ours, as benchmarks do."""
    with child(protected) as (pid, _):
        assert "Pss:" in Path(f"/proc/{pid}/smaps_rollup").read_text()
        assert Path(f"/proc/{pid}/smaps").read_text()


def test_a_process_of_ours_leaves_no_core() -> None:
    """A crash writes no core file, and pipes no core to a program, which RLIMIT_CORE would not prevent."""

    def limits() -> list[int]:
        protected()
        return [resource.getrlimit(resource.RLIMIT_CORE)[0], LIBC.prctl(3, 0, 0, 0, 0)]  # PR_GET_DUMPABLE

    with child(limits) as (_, found):
        assert found == [0, 0]


EACH_FLOW = """
import ctypes, importlib, os, prefect
os.environ["SSLKEYLOGFILE"] = "/nowhere/keys"
for module in ("tls_sync", "fleet", "preflight", "inventory"):
    child = os.fork()
    if not child:
        importlib.import_module(f"flows.{module}")
        found = ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), "SSLKEYLOGFILE" in os.environ
        print(module, *found, flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""


def test_each_flow_protects_its_process() -> None:
    """Each flow's process is protected from its import on, before any key is read, in a worker, too."""
    modules = ("tls_sync", "fleet", "preflight", "inventory")
    assert printed(EACH_FLOW).splitlines() == [f"{module} 0 False" for module in modules]


EACH_COMMAND = """
import ctypes, os, runpy, sys
sys.argv[1:] = {arguments}
config = os.environ["TLS_SYNC_CONFIG"] = {config!r}
def audit(event, details):
    if event == "open" and str(details[0]) == config:
        os.write(1, b"%d" % ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
sys.addaudithook(audit)
try:
    runpy.run_module({module!r}, run_name="__main__", alter_sys=True)
except SystemExit as end:
    os.write(1, b" %d" % end.code)
    os._exit(0)
"""


@pytest.mark.parametrize(
    ("module", "arguments"), [("flows", ["--preflight"]), ("flows.watch", ["--port=0"])], ids=str
)
def test_each_command_protects_its_process(tmp_path: Path, module: str, arguments: list[str]) -> None:
    """It can't be dumped by the time at which it opens its configuration, before it reads any credential."""
    config = tmp_path / "tls-sync.yaml"
    config.write_text("nonsense")
    script = EACH_COMMAND.format(arguments=arguments, config=str(config), module=module)
    assert printed(script) == "0 1"


def load() -> bool:
    """Load a client certificate of a kubeconfig, as for each connection that needs one."""
    written = document()
    pair = {"client-certificate-data": b64(CERTIFICATE), "client-key-data": b64(KEY)}
    written["users"][0]["user"] = pair
    parse_access("dev", "cluster-dev", written)
    return True


def test_a_client_certificate_touches_no_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client certificate is loaded where no file can be written."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    assert load()


def test_a_kill_while_a_client_certificate_is_loaded_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After SIGKILL no file is left, since the certificate was in memory."""

    def killed(*_: Any, **__: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", killed)
    with child(load) as (_, found):
        assert found == "it died"
    assert list(tmp_path.iterdir()) == []


def test_a_client_certificate_is_loaded_by_a_process_that_cant_be_dumped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is loaded in the process of an ordinary user, who does not own /proc/PID of such a process."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with child(lambda: protected() and load()) as (_, found):
        assert found is True


def test_without_files_in_memory_a_private_one_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On another system than Linux a private file is used, and deleted at once."""
    monkeypatch.delattr(os, "memfd_create")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert load()
    assert list(tmp_path.iterdir()) == []


def test_no_descriptor_is_left_by_a_client_certificate() -> None:
    """No descriptor stays open, however many clusters there are, and whether the certificate fits or not."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        load()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
