"""Says that a command uses another kubeconfig than the one with tls-sync's own rights, where that is here."""

import os
import sys
from pathlib import Path

OWN = "tls-sync.kubeconfig"
"""What `tls-sync rights kubeconfig --file` is told to write, in README.md."""


def warn_of_another_kubeconfig() -> None:
    """Write a line to stderr if this folder has OWN, and KUBECONFIG does not name it.

    With an operator's own kubeconfig, a run has all their rights.
    """
    given = os.environ.get("KUBECONFIG")
    own = Path(OWN)
    if not own.is_file() or (given and Path(given).absolute() == own.absolute()):
        return
    used = f"KUBECONFIG={given}" if given else "~/.kube/config, since KUBECONFIG is not set"
    sys.stderr.write(
        f"tls-sync: this uses {used}, with the rights in it; {OWN} is in this folder: KUBECONFIG={OWN}\n"
    )
