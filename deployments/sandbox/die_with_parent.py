"""Runs a program that the kernel kills when its parent dies.

    python die_with_parent.py PARENT_PID PROGRAM [ARGUMENT …]

It is a separate program because code between fork and exec (`preexec_fn`) is not safe with threads.
The setting survives the exec, and the process id stays the same.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    parent, *command = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != int(parent):  # it died before the line above
            sys.exit(1)
    os.execv(command[0], command)  # noqa: S606 (its purpose)


if __name__ == "__main__":
    main()
