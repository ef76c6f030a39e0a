"""What the sandbox says when cert-manager or the ACME server does not do its part."""

from types import SimpleNamespace
from typing import Any

import pytest

from deployments.sandbox.cert_manager.source import Source
from deployments.sandbox.errors import SandboxError

LAST = "cert-manager's last lines:\nsecrets is forbidden\nThe whole log is /somewhere/cert-manager.log."


def issuing(*, is_running: bool) -> Source:
    anything: Any = None
    cert_manager: Any = SimpleNamespace(is_running=is_running, explain=lambda: LAST)
    return Source(anything, cert_manager, anything, lambda _: None)


def test_a_wait_in_vain_names_what_was_awaited_and_what_cert_manager_said() -> None:
    """Where cert-manager has ended, nobody waits for the rest of the two minutes."""
    with pytest.raises(SandboxError) as error:
        issuing(is_running=False).await_for("cert-manager to issue web-tls", lambda: False)
    assert str(error.value) == f"waited 0 s in vain for cert-manager to issue web-tls.\n{LAST}"


def test_what_holds_is_not_awaited() -> None:
    """A condition that holds is enough, whatever became of cert-manager meanwhile."""
    issuing(is_running=False).await_for("the temporary certificate", lambda: True)
