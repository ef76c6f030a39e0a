"""buildah, which builds images without a daemon and without a registry."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from deployments.sandbox.progress import Say
from deployments.sandbox.work import run


class Builder:
    """buildah with its own store, independent of the machine's configuration for containers."""

    def __init__(self, directory: Path, say: Say) -> None:
        self.directory = directory
        self._say = say
        self._policy = directory / "policy.json"
        self._policy.write_text(json.dumps({"default": [{"type": "insecureAcceptAnything"}]}))

    @classmethod
    @contextmanager
    def temporary(cls, say: Say) -> Iterator["Builder"]:
        directory = Path(tempfile.mkdtemp(prefix="tls-sync-images-"))
        try:
            yield cls(directory, say)
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def build_from(
        self, files: dict[str, Path], dockerfile: str, image: str, options: Sequence[str] = ()
    ) -> None:
        context = self.directory / "context"
        context.mkdir()
        for name, file in files.items():
            _link(file, context / name)
        path = self.directory / "Dockerfile"
        path.write_text(dockerfile)
        self.build(context, path, image, options)
        shutil.rmtree(context)

    def build(self, context: Path, dockerfile: Path, image: str, options: Sequence[str] = ()) -> None:
        """Build an image of that name; with an option `--manifest`, a list of that name, one per platform."""
        name = [] if any(option.startswith("--manifest=") for option in options) else [f"--tag={image}"]
        named = [f"--file={dockerfile}", *name, f"--signature-policy={self._policy}"]
        self._run(f"building {image}", ["build", "--isolation=chroot", *named, *options, context])

    def save(self, image: str, archive: Path) -> None:
        policy = f"--signature-policy={self._policy}"
        self._run(f"saving {image}", ["push", policy, image, f"docker-archive:{archive}:{image}"])

    def save_all(self, manifest: str, folder: Path) -> None:
        """Write the images of all platforms into a folder, in the layout of OCI."""
        policy = f"--signature-policy={self._policy}"
        what = ["manifest", "push", policy, "--all", manifest, f"oci:{folder}"]
        self._run(f"saving {manifest}", what)

    def _run(self, what: str, arguments: Sequence[str | Path]) -> None:
        store = [f"--root={self.directory}/store", f"--runroot={self.directory}/run", "--storage-driver=vfs"]
        log = self.directory / "buildah.log"
        run(what, ["/usr/bin/buildah", *store, *arguments], log, self._say)


def _link(file: Path, path: Path) -> None:
    """Link a file into the context, or copy it to another file system: it can have hundreds of MB."""
    try:
        os.link(file, path)
    except OSError:
        shutil.copyfile(file, path)
