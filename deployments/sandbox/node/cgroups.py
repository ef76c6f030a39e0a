"""The control group of all pods of a node, in version 1 or 2 of cgroups or in both."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_END_SECONDS = 10
_INHERITED = ("cpuset.cpus", "cpuset.mems")
# For version 2, then for version 1.
_PEAK = ("memory.peak", "memory.max_usage_in_bytes")
_USAGE = ("memory.current", "memory.usage_in_bytes")
_INACTIVE = ("inactive_file", "total_inactive_file")


@contextmanager
def control_group(name: str) -> Iterator[None]:
    """Create it in each hierarchy of the machine, and remove it when its processes have ended."""
    folders = [root / name for root in _hierarchies()]
    try:
        for folder in folders:
            _make(folder)
        yield
    finally:
        for folder in folders:
            _remove(folder)


def peak(name: str, pod_uid: str) -> int:
    """Return the peak memory of a pod's processes in bytes, with caches; 0 where the pod is gone."""
    return _number(name, pod_uid, _PEAK)


def working_set(name: str, pod_uid: str) -> int:
    """Return its memory in bytes without what the kernel can reclaim: the figure of kubectl top."""
    usage = _number(name, pod_uid, _USAGE)
    for folder in _folders(name, pod_uid):
        with suppress(OSError):
            rows = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            return max(0, usage - int(next(rows[key] for key in reversed(_INACTIVE) if key in rows)))
    return 0


def processes(name: str, pod_uid: str) -> Iterator[int]:
    """Yield the machine's process ids of a pod, without its pause process."""
    for folder in _folders(name, pod_uid):
        found = [int(pid) for file in folder.rglob("cgroup.procs") for pid in _lines(file)]
        if found:
            yield from (pid for pid in found if _lines(Path(f"/proc/{pid}/comm")) != ["pause"])
            return


def _number(name: str, pod_uid: str, files: tuple[str, ...]) -> int:
    lines = [line for folder in _folders(name, pod_uid) for file in files for line in _lines(folder / file)]
    return max(map(int, lines), default=0)


def _lines(file: Path) -> list[str]:
    """Return no lines where the file is of the other version, or gone."""
    try:
        return file.read_text().splitlines()
    except OSError:
        return []


def _folders(name: str, pod_uid: str) -> list[Path]:
    """Return a pod's folders in the hierarchy that counts memory."""
    root = _ROOT / "memory" if (_ROOT / "memory").exists() else _ROOT
    return list((root / name).glob(f"kubepods*/**/pod{pod_uid}"))


def _hierarchies() -> list[Path]:
    """Return the hierarchies: version 1 has one per controller, version 2 has one for all."""
    if (_ROOT / "cgroup.controllers").exists():
        return [_ROOT]
    return [folder for folder in _ROOT.iterdir() if folder.is_dir() and not folder.is_symlink()]


def _make(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for name in _INHERITED:  # version 1 inherits none
        with suppress(OSError):
            (folder / name).write_text((folder.parent / name).read_text())
    with suppress(OSError):  # version 2 enables controllers only on request
        for name in (folder / "cgroup.controllers").read_text().split():
            (folder / "cgroup.subtree_control").write_text(f"+{name}")


def _remove(folder: Path) -> None:
    deadline = time.monotonic() + _END_SECONDS
    while folder.exists() and time.monotonic() < deadline:
        for child in sorted(folder.rglob("*/"), key=lambda path: len(path.parts), reverse=True):
            with suppress(OSError):
                child.rmdir()
        with suppress(OSError):
            folder.rmdir()
        time.sleep(0.1)
