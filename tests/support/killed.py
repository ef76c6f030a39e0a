"""A process that dies by SIGKILL at a chosen write."""

import os
import signal
import threading
from collections.abc import Callable

from tasks.kube import transport
from tasks.kube.transport import Request, Response, Transport


def fork_killed_at_write(number: int, call: Callable[[], object], *, after: bool) -> int:
    """Call in a child process that is killed at its n-th PATCH, before or after the request; return its id.

    It exits with 0 where the call makes fewer.
    """
    if child := os.fork():
        return child
    try:
        writes, lock, send = [0], threading.Lock(), transport.Transport.request

        def request(self: Transport, request: Request) -> Response:
            with lock:
                writes[0] += request.method == "PATCH"
                doomed = writes[0] == number and request.method == "PATCH"
            if doomed and not after:
                os.kill(os.getpid(), signal.SIGKILL)
            response = send(self, request)
            if doomed:
                os.kill(os.getpid(), signal.SIGKILL)
            return response

        transport.Transport.request = request  # type: ignore[method-assign]
        call()
    finally:
        os._exit(0)
