"""An operator's own kubeconfig has more rights than tls-sync needs: commands say that they use it."""

from pathlib import Path

import pytest

from flows.commands.own_kubeconfig import OWN, warn_of_another_kubeconfig


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (None, "this uses ~/.kube/config, since KUBECONFIG is not set"),
        ("admin.kubeconfig", "this uses KUBECONFIG=admin.kubeconfig"),
        (OWN, ""),
    ],
    ids=["not set", "another", "its own"],
)
def test_another_kubeconfig_is_told(
    given: str | None,
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Where the folder has the file with its own rights, and KUBECONFIG does not name that."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KUBECONFIG", raising=False)
    if given:
        monkeypatch.setenv("KUBECONFIG", given)
    warn_of_another_kubeconfig()
    assert capsys.readouterr().err == ""
    Path(OWN).write_text("")
    warn_of_another_kubeconfig()
    said = capsys.readouterr().err
    assert said.startswith(f"tls-sync: {told}" if told else "")
    assert bool(said) is bool(told)
    assert not told or said.endswith(f"KUBECONFIG={OWN}\n")
