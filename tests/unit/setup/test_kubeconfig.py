"""The combined kubeconfig: its entries, and the messages for kubectl's failures."""

import os
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tasks.config.load import load_config
from tasks.config.schema import SyncConfig
from tasks.setup.collection import Outcome, Wanted, lines, wanted_of
from tasks.setup.document import Entry, document_of, entries_of
from tasks.setup.errors import SetupError
from tasks.setup.kubectl import Kubectl
from tasks.setup.places import InFile
from tests.support.factories import law

EXAMPLE = Path(__file__).parents[3] / "deployments" / "tls-sync.yaml"
CANARY = "eyJhbGciOiJub25lIn0.canary.canary"
FORBIDDEN = (
    ": Forbidden: your kubectl uses KUBECONFIG=/home/me/tls-sync.kubeconfig; this needs an administrator's "
    "kubeconfig (--admin-kubeconfig FILE)"
)
ENTRIES = {
    name: Entry({"server": f"https://{name}.example.org:6443"}, {"token": f"token-{name}"})
    for name in ("cluster-dev", "cluster-rct")
}


def test_a_kubeconfig_is_read_back_as_it_was_put() -> None:
    """An entry is read as it was written: each context with its cluster and user."""
    assert entries_of(document_of(ENTRIES)) == ENTRIES


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.sampled_from(["a", "name", "cluster"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["clusters", "users", "contexts", "name", "cluster", "user", "context"]),
                inner,
            )
        ),
    )
)
@law
def test_a_broken_kubeconfig_holds_nothing(document: Any) -> None:
    """Any former content gives usable entries or none."""
    for entry in entries_of(document).values():
        assert isinstance(entry.cluster, dict)
        assert isinstance(entry.user, dict)


def test_a_credential_does_not_show_itself() -> None:
    """No text of an entry or an outcome has it."""
    entry = Entry({"server": "https://x"}, {"token": CANARY})
    outcome = Outcome(Wanted("dev", "cluster-dev", "cluster-dev"), "token until …", entry)
    assert CANARY not in f"{entry!r}{entry}{outcome!r}{list(lines([outcome]))}"


def config(**source: Any) -> SyncConfig:
    loaded = load_config(str(EXAMPLE))
    return loaded.model_copy(update={"source": loaded.source.model_copy(update=source)})


def test_ops_is_in_it_only_if_the_configuration_says_so() -> None:
    """In OPS, a run reads it with its pod's token, so OPS needs no entry."""
    assert [one.name for one in wanted_of(config(), "admin-ops", {}, {})] == ["dev", "rct", "prd"]
    ops, *_ = wanted_of(config(context="cluster-ops"), "admin-ops", {}, {})
    assert (ops.name, ops.context, ops.admin_context) == ("OPS", "cluster-ops", "admin-ops")


def test_contexts_and_addresses_can_be_called_otherwise() -> None:
    """Contexts in the operator's kubeconfig may differ from those in the configuration."""
    dev, rct, _ = wanted_of(config(), None, {"dev": "mine"}, {"rct": "https://rct:6443"})
    assert (dev.context, dev.admin_context, dev.server) == ("cluster-dev", "mine", "")
    assert (rct.context, rct.admin_context, rct.server) == ("cluster-rct", "cluster-rct", "https://rct:6443")


def test_an_unknown_cluster_is_named() -> None:
    """A misspelt name is an error, since else its option would have no effect."""
    with pytest.raises(
        SetupError, match="dve: no such cluster in the configuration; known are: dev, rct, prd"
    ):
        wanted_of(config(), None, {"dve": "mine"}, {})


def test_a_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    """The file has mode 0600 from the first byte, replaces a former one, and can be read back."""
    path = tmp_path / "kubeconfig"
    path.write_text("{}")
    path.chmod(0o644)
    place = InFile(path)
    place.put(document_of(ENTRIES))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["kubeconfig"]
    assert entries_of(place.read()) == ENTRIES
    assert InFile(tmp_path / "missing").read() is None


@pytest.mark.parametrize("folder", ["missing", "file"])
def test_a_file_that_can_not_be_written_is_refused_when_it_is_read(tmp_path: Path, folder: str) -> None:
    """The error comes at the reading, before any token is created."""
    (tmp_path / "file").touch()
    path = tmp_path / folder / "kubeconfig"
    with pytest.raises(SetupError) as error:
        InFile(path).read()
    assert str(error.value) == (
        f"file {path} can't be written: {path.parent} is not a folder that you may write to; correct --file"
    )


def test_a_pipe_in_the_files_place_is_refused(tmp_path: Path) -> None:
    """Reading a pipe would never end."""
    path = tmp_path / "kubeconfig"
    os.mkfifo(path)
    with pytest.raises(SetupError, match="not a regular file; check the path"):
        InFile(path).read()


@pytest.mark.parametrize("text", ["!tag x", "a: &a\nb: *a", "{"])
def test_a_file_that_is_no_kubeconfig_is_refused_unquoted(tmp_path: Path, text: str) -> None:
    """It may have a credential, so the message has only its path."""
    path = tmp_path / "kubeconfig"
    path.write_text(f"{text} # {CANARY}")
    with pytest.raises(SetupError) as error:
        InFile(path).read()
    assert CANARY not in str(error.value)


@pytest.fixture
def kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program called kubectl, alone in PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/bin:/usr/bin")
    path = folder / "kubectl"
    path.touch(mode=0o700)
    return path


@pytest.mark.parametrize(
    ("stderr", "why"),
    [
        (f'Error from server (NotFound): serviceaccounts "{CANARY}" not found', ": NotFound"),
        (f"Error from server (Forbidden): {CANARY} can't", FORBIDDEN),
        (f'error: failed to create token: serviceaccounts "{CANARY}" is forbidden: User', FORBIDDEN),
        (
            'Error from server (NotFound): namespaces "nowhere" not found',
            ": NotFound: create the namespace first",
        ),
        (f"E1124 {CANARY}\nUnable to connect to the server: dial tcp", ": no connection"),
        (f"error: You must be logged in to the server ({CANARY})", ": Unauthorized: log in first"),
        (
            f'error: failed to create token: serviceaccounts "{CANARY}" not found',
            ": NotFound: apply the manifests there first",
        ),
        (f"error: {CANARY}", "; run it by hand to see why"),
        (f"Error from server ({CANARY}): x", "; run it by hand to see why"),
    ],
)
def test_what_kubectl_says_is_told_in_words_of_ours(
    kubectl: Path, monkeypatch: pytest.MonkeyPatch, stderr: str, why: str
) -> None:
    """The message has the command, its status and one of a few known reasons, never kubectl's text."""
    monkeypatch.setenv("KUBECONFIG", "/home/me/tls-sync.kubeconfig")
    kubectl.write_text(f"#!/bin/sh\ncat >&2 <<'END'\n{stderr}\nEND\nexit 3\n")
    with pytest.raises(SetupError) as error:
        Kubectl("mine").run("create", "token", "tls-sync")
    assert str(error.value) == (
        "`kubectl --request-timeout=20s --context=mine create token tls-sync` ended with exit status 3" + why
    )
    assert error.value.__cause__ is None


@pytest.mark.parametrize(
    ("variable", "option", "whose"),
    [
        ("/home/me/runs", None, "KUBECONFIG=/home/me/runs"),
        ("", None, "~/.kube/config"),
        ("/home/me/runs", "mine", "--admin-kubeconfig mine"),
    ],
)
def test_a_refusal_names_the_kubeconfig_whose_user_may_not(
    kubectl: Path, monkeypatch: pytest.MonkeyPatch, variable: str, option: str | None, whose: str
) -> None:
    """Most often KUBECONFIG still names the runs' file, which this command wrote."""
    monkeypatch.setenv("KUBECONFIG", variable)
    kubectl.write_text("#!/bin/sh\necho 'Error from server (Forbidden): no' >&2\nexit 1\n")
    with pytest.raises(SetupError) as error:
        Kubectl("mine", option).run("get", "secret")
    assert str(error.value).endswith(
        f": Forbidden: your kubectl uses {whose}; this needs an administrator's kubeconfig"
        " (--admin-kubeconfig FILE)"
    )


def test_without_kubectl_one_sentence_says_so(kubectl: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing kubectl is one sentence, not a traceback."""
    monkeypatch.setenv("PATH", str(kubectl.parent.parent))
    with pytest.raises(SetupError, match="there is no kubectl in PATH"):
        Kubectl().run("version")


def test_what_kubectl_is_given_goes_by_stdin(kubectl: Path) -> None:
    """Secret content is never an argument, which other users of the machine could read."""
    kubectl.write_text('#!/bin/sh\necho "$@"\ncat\n')
    answer = Kubectl().run("apply", "--filename=-", stdin=yaml.safe_dump({"token": CANARY}).encode())
    assert answer == f"--request-timeout=20s apply --filename=-\ntoken: {CANARY}\n"
