"""Finds kube-apiserver, etcd, kubectl and the programs of a node, or fetches or builds them.

The order is: $KUBEBUILDER_ASSETS (the convention of envtest), our cache, the envtest archive for this
platform, a build from source. The cache keeps what was fetched or built.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from deployments.sandbox.errors import SandboxError
from deployments.sandbox.programs import envtest, gobuild
from deployments.sandbox.progress import Say
from deployments.sandbox.progress import say as say_on_stderr

ASSETS_VARIABLE = "KUBEBUILDER_ASSETS"
CACHE_VARIABLE = "TLS_SYNC_CACHE"


def locate(*names: str, say: Say = say_on_stderr) -> dict[str, Path]:
    """Return the path of each program; the first time, this can take minutes."""
    unknown = sorted(set(names) - set(gobuild.SOURCES))
    if unknown:
        raise SandboxError(f"{unknown[0]} isn't one of {', '.join(gobuild.SOURCES)}")
    _require_assets()
    missing = [name for name in names if not _at_hand(name)]
    if missing:
        cache = _cache()
        with _locked(cache, say):
            _make(missing, cache, say)
    found = {name: path for name in names if (path := _at_hand(name))}
    for folder in sorted({path.parent for path in found.values()}):
        here = [name for name, path in found.items() if path.parent == folder]
        say(f"using {', '.join(here)} of {folder}")
    return found


def _require_assets() -> None:
    """Raise SandboxError where $KUBEBUILDER_ASSETS lacks a server: another version would go unnoticed."""
    assets = os.environ.get(ASSETS_VARIABLE)
    lacking = [name for name in ("kube-apiserver", "etcd") if assets and not _is_program(Path(assets) / name)]
    if lacking:
        names = " and no program ".join(lacking)
        raise SandboxError(f"{ASSETS_VARIABLE}={assets} has no program {names}: correct it or unset it")


def cached(folder: str, name: str, say: Say, make: Callable[[Path], None]) -> Path:
    """Return a file of the cache, and make it where it is missing, complete or not at all."""
    path = _cache() / folder / name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path.parent, say):
            if not path.exists():
                partial = path.with_name(f"{name}.partial")
                partial.unlink(missing_ok=True)
                make(partial)
                partial.replace(path)
    return path


def _at_hand(name: str) -> Path | None:
    cache = _cache()
    folders = [cache / gobuild.SOURCES[name].version, *_unpacked(cache)]
    assets = os.environ.get(ASSETS_VARIABLE)
    if assets:
        folders.insert(0, Path(assets))
    paths = (folder / name for folder in folders)
    return next(filter(_is_program, paths), None)


def _is_program(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def _cache() -> Path:
    """Return this platform's folder: several platforms can share a home."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    root = os.environ.get(CACHE_VARIABLE) or Path(base) / "tls-sync"
    return Path(root).absolute() / envtest.this_platform()


def _minor() -> str:
    return gobuild.SOURCES["kube-apiserver"].version.removeprefix("v").rpartition(".")[0]


def _unpacked(cache: Path) -> list[Path]:
    """Return the folders of envtest archives of our minor version, the newest first."""
    folders = cache.glob(f"envtest-v{_minor()}.*")
    return sorted(folders, key=lambda folder: int(folder.name.rpartition(".")[2]), reverse=True)


def _make(names: list[str], cache: Path, say: Say) -> None:
    # Another process may have made them during the wait for the lock.
    if all(map(_at_hand, names)):
        return
    if not set(envtest.PROGRAMS).isdisjoint(names):
        try:
            envtest.fetch(cache, _minor(), say)
        except envtest.NoArchiveError as error:
            say(f"no envtest archive is available ({error}), so building from source")
    for name in names:
        if not _at_hand(name):
            gobuild.build(name, cache / gobuild.SOURCES[name].version / name, say)


@contextmanager
def _locked(cache: Path, say: Say) -> Iterator[None]:
    """Let only one process at a time fill the cache; the lock ends with its process."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting: another process is filling {cache}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
