"""The arguments of `python -m flows.watch`."""

import sys

import pytest

from flows import watch


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--lease=nonsense"], "NAMESPACE/NAME is expected"),
        (["--lease=a/b/c"], "NAMESPACE/NAME is expected"),
        (["--lease=a/.."], "NAMESPACE/NAME is expected"),
        (["--lease-context=ops"], "goes with --lease"),
        (["--port=x"], "invalid int value"),
        (["--port=99999"], "0 to 65535"),
    ],
)
def test_wrong_arguments_are_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    """The exit status is 2 and stderr names the option, before the watcher starts."""
    monkeypatch.setattr(sys, "argv", ["watch", *arguments])
    monkeypatch.setattr(watch, "watch", lambda *_: pytest.fail("it started"))
    with pytest.raises(SystemExit) as exited:
        watch.main()
    assert exited.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], (8080, "", "", None)),
        (["--port=0", "--lease=tls-sync/watch"], (0, "tls-sync", "watch", None)),
        (["--lease=tls-sync/watch", "--lease-context=ops"], (8080, "tls-sync", "watch", "ops")),
    ],
)
def test_arguments_reach_the_watcher(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], expected: tuple[int, str, str, str | None]
) -> None:
    """Port, namespace and name of the Lease and its context are passed on; its exit status is returned."""
    monkeypatch.setattr(sys, "argv", ["watch", *arguments])
    passed: list[tuple[object, ...]] = []

    def start(*given: object) -> int:
        passed.append(given)
        return 1

    monkeypatch.setattr(watch, "watch", start)
    assert watch.main() == 1
    assert passed == [expected]
