"""The control group that all pods of a node are under, in either version of cgroups or in both."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_END_SECONDS = 10
_INHERITED = ("cpuset.cpus", "cpuset.mems")
_PEAKS = ("memory.peak", "memory.max_usage_in_bytes")


@contextmanager
def control_group(name: str) -> Iterator[None]:
    """Made in each hierarchy of the machine, and removed when its processes have ended."""
    folders = [root / name for root in _hierarchies()]
    try:
        for folder in folders:
            _make(folder)
        yield
    finally:
        for folder in folders:
            _remove(folder)


def peak(name: str, pod_uid: str) -> int:
    """The most memory in bytes that a pod's processes had together, caches included; 0 where it's gone."""
    uid = pod_uid.replace("-", "[-_]")
    folders = [folder for root in _hierarchies() for folder in (root / name).glob(f"**/*pod{uid}*")]
    found = [0]
    for file in (folder / peak for folder in folders for peak in _PEAKS):
        with suppress(OSError):  # of the other version, or gone by now
            found.append(int(file.read_text()))
    return max(found)


def _hierarchies() -> list[Path]:
    """Version 1 has one per controller, version 2 one for all."""
    if (_ROOT / "cgroup.controllers").exists():
        return [_ROOT]
    return [folder for folder in _ROOT.iterdir() if folder.is_dir() and not folder.is_symlink()]


def _make(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for name in _INHERITED:  # version 1 begins with none
        with suppress(OSError):
            (folder / name).write_text((folder.parent / name).read_text())
    with suppress(OSError):  # version 2 hands controllers down only on request
        names = (folder / "cgroup.controllers").read_text().split()
        for name in names:
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
