"""Fetches and builds what the tests on a real node need, with progress, which pytest would hide.

With --argo-cd also what the tests with Argo CD need. With --packages it only prints the Debian packages that
they, and tests with other programs of Debian, need.
"""

import sys

from deployments.sandbox.argo_cd import controllers as argo_cd
from deployments.sandbox.errors import SandboxError
from deployments.sandbox.programs import packages
from deployments.sandbox.programs.binaries import locate
from deployments.sandbox.progress import say
from tests.e2e.machine import PACKAGES, prepare


def main(arguments: list[str]) -> int:
    if arguments == ["--packages"]:
        print(*packages.names(*PACKAGES, packages.DATABASE, packages.MONITORING, packages.TLS_SERVERS))  # noqa: T201
        return 0
    try:
        prepare(say)
        if arguments == ["--argo-cd"]:
            packages.require_argo_cd()
            locate(*argo_cd.PROGRAMS, say=say)
    except SandboxError as error:
        say(f"error: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
