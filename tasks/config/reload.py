"""The configuration of a process that lives long: parsed once, and again when its file has changed."""

import os
import threading
from pathlib import Path

from tasks.config.load import VARIABLE, load_config
from tasks.config.schema import SyncConfig

FileVersion = tuple[str, int, int, int]


class ReloadedConfig:
    """Usable from several threads. Equal files are one object: `is` tells whether something has changed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._config: SyncConfig | None = None
        self._version: FileVersion | None = None

    def load(self) -> SyncConfig:
        """Return what `load_config` returns now. Raises ConfigError, as long as the file is invalid."""
        with self._lock:
            version = _file_version()  # before the file is read: what is written meanwhile shows next time
            if self._config is None or version is None or version != self._version:
                self._config = None
                self._config = load_config()
                self._version = version
            return self._config


def _file_version() -> FileVersion | None:
    """Return a value that changes with the file; None if it can't be told.

    stat() follows links: the kubelet updates a mounted ConfigMap by turning one.
    """
    path = os.environ.get(VARIABLE, "")
    try:
        status = Path(path).stat()
    except (OSError, ValueError):
        return None
    return path, status.st_mtime_ns, status.st_size, status.st_ino
