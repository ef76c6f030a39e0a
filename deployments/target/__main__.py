"""`python -m deployments.target`: the former form of `tls-sync rights`, for this release."""

import sys

from flows.cli.__main__ import main
from tasks.runtime.command import run_command

if __name__ == "__main__":
    sys.exit(run_command(lambda: main(["rights", *sys.argv[1:]])))
