"""The first process of a node's namespaces: makes their mounts and reaps orphaned processes.

    unshare --mount --net --pid … python node_init.py DIRECTORY

Only the node sees its mounts. The node has its own /run, /var/lib and /var/log, so that its programs use
their usual paths and still leave nothing on the machine.
"""

import os
import subprocess
import sys
import time
from pathlib import Path


def main() -> None:
    directory = Path(sys.argv[1])
    _mount("-t", "tmpfs", "tmpfs", "/run")
    Path("/run/lock").mkdir()
    for name in ("lib", "log"):
        folder = directory / "var" / name
        folder.mkdir(parents=True)
        _mount("--bind", str(folder), f"/var/{name}")
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    (directory / "ready").touch()
    while True:  # until the kernel kills it, and with it all that runs here
        try:
            os.wait()
        except ChildProcessError:
            time.sleep(1)


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)  # noqa: S603, S607 (constant arguments)


if __name__ == "__main__":
    main()
