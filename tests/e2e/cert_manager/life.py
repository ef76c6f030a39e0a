"""What a test does with certificates, and how it waits for tls-sync, whether runs or the watcher copy."""

import base64
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from deployments.sandbox.cert_manager import resources
from deployments.sandbox.cert_manager.acme import Acme
from deployments.sandbox.cert_manager.rights import NAMESPACE
from deployments.sandbox.cert_manager.source import Source
from deployments.sandbox.clusters import pki
from deployments.sandbox.clusters.admin import Admin
from deployments.sandbox.clusters.manifests import object_path
from deployments.sandbox.world.cert_manager import SOURCE_NAMESPACE
from tests.e2e.cert_manager.recorder import COPIED, TEMPORARY, Recorder, leaf_of, recorder
from tests.support.clusters import Manifest, World
from tests.support.waiting import until
from tests.support.watcher_process import Process, may_watch, watcher

NAME = "web-tls"
ABSENT = "absent"
"""An issuer that does not exist."""
CA = {"kind": "ClusterIssuer", "name": "ca"}
"""A CA issuer, which signs within a second, and knows the profile of no ACME server."""
ROOT = "ca-root"
"""The Secret of a CA issuer's CA, for ClusterIssuers and for Issuers."""
NOBODY = "http://127.0.0.1:1/api"
"""In place of a Prefect server: the watcher copies without one."""


class Life:
    """Certificates on OPS, and their copies on all targets."""

    def __init__(self, world: World, issuing: Source, seen: Recorder) -> None:
        self.world, self.issuing, self.seen = world, issuing, seen
        self.watcher: Process | None = None
        self._markers = 0

    def issue(self, name: str, *dns_names: str, **options: Any) -> Manifest:
        """Create or change a Certificate, wait until cert-manager has issued it, and return its Secret."""
        self.order(name, *dns_names, **options)
        return self.issued(name)

    def order(self, name: str, *dns_names: str, **options: Any) -> None:
        """Create or change a Certificate."""
        names = dns_names or (f"{name}.example.org",)
        self.world.ops.ensure(resources.certificate(name, *names, **options))

    def issued(self, name: str, after: Manifest | None = None) -> Manifest:
        """Wait until a Certificate is issued, in another Secret than `after`; return the Secret."""
        path = resources.path_of(name)

        def found() -> Manifest | None:
            resources.delete_orphans(self.world.ops)
            secret = self.world.ops.secret(SOURCE_NAMESPACE, name)
            if secret is None or (after and secret["data"]["tls.crt"] == after["data"]["tls.crt"]):
                return None
            certificate = self.world.ops.get(path)
            return secret if resources.is_ready(certificate) and not is_temporary(secret) else None

        try:
            secret: Manifest = until(f"cert-manager to issue {name}", found)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.world.ops.get(path).get('status')}") from error
        return secret

    def renew(self, secret: Manifest) -> Manifest:
        """Renew as `cmctl renew` does; return the new Secret."""
        name = secret["metadata"]["name"]
        resources.renew(self.world.ops, name)
        return self.issued(name, after=secret)

    def await_copies(self, *secrets: Manifest) -> None:
        """Wait until each target has the copied keys of these Secrets, byte for byte."""

        def arrived() -> bool:
            if self.watcher is None:
                self.world.run()
            return all(self.is_copied(secret) for secret in secrets)

        until("the copies", arrived)

    def await_newest_copy(self, name: str) -> None:
        """Wait until each target has what OPS has at that moment, which may be renewed meanwhile."""

        def arrived() -> bool:
            if self.watcher is None:
                self.world.run()
            current = self.world.ops.secret(SOURCE_NAMESPACE, name)
            return current is not None and self.is_copied(current)

        until("the copy of the newest version", arrived)

    def is_copied(self, secret: Manifest) -> bool:
        name = secret["metadata"]["name"]
        found = [self.world.copy(name, cluster) for cluster in self.world.targets]
        return all(copy is not None and copy["data"] == copied(secret) for copy in found)

    def has_keys(self, name: str, keys: Sequence[str]) -> bool:
        """Whether each target has these keys, too, byte for byte as OPS has them at that moment.

        cert-manager makes keystores anew whenever it writes a Secret, also with the same certificate.
        """
        if self.watcher is None:
            self.world.run()
        secret = self.world.ops.secret(SOURCE_NAMESPACE, name)
        assert secret is not None
        wanted = copied(secret) | {key: secret["data"][key] for key in keys}
        found = [self.world.copy(name, cluster) for cluster in self.world.targets]
        return all(copy is not None and copy["data"] == wanted for copy in found)

    def settle(self) -> None:
        """Wait until tls-sync has seen all that is on OPS: what it has not copied then, it does not copy."""
        self._markers += 1
        (marker,) = self.world.issue(f"web-marker-{self._markers}")
        self.await_copies(marker)

    def copies(self) -> set[str]:
        """Return the names of all copies on all targets, without the markers of `settle`."""
        paths = (path for cluster in self.world.targets for path in self.world.versions(cluster))
        names = {path.partition("/")[2] for path in paths}
        return {name for name in names if not name.startswith("web-marker-")}

    def delete_certificate(self, name: str) -> None:
        self.world.ops.delete(resources.path_of(name))

    def delete_secret(self, name: str) -> None:
        self.world.ops.delete(f"/api/v1/namespaces/{SOURCE_NAMESPACE}/secrets/{name}")


def copied(secret: Manifest) -> dict[str, str]:
    """Return the data that a copy has; cert-manager leaves ca.crt empty where the issuer gives none."""
    return {key: secret["data"][key] for key in COPIED if secret["data"].get(key)}


def is_temporary(secret: Manifest) -> bool:
    return leaf_of(secret["data"]).issuer.rfc4514_string() == TEMPORARY


@contextmanager
def life_by(what: str, build: Callable[[], World], issuing: Source) -> Iterator[Life]:
    """`what` is `runs` or `watcher`. `build` empties the clusters, after the Certificates are gone."""
    world = emptied(build, issuing)
    _create_issuers(world, issuing.acme)
    targets = {name: world.admin(name) for name in world.targets}
    with ExitStack() as stack:
        seen = stack.enter_context(recorder(world.ops, targets, "app-a"))
        life = Life(world, issuing, seen)
        if what == "watcher":
            stack.enter_context(may_watch(world.ops))
            life.watcher = stack.enter_context(watcher(world.directory, PREFECT_API_URL=NOBODY))
            life.settle()
        yield life
        assert seen.objections() == []
        if life.watcher:
            assert life.watcher.process.poll() is None, life.watcher.output


def emptied(build: Callable[[], World], issuing: Source) -> World:
    """Delete Certificates before their Secrets, which cert-manager would write anew.

    What belongs to them is deleted here, too: no controller manager does it in this cluster.
    """
    until("OPS without Certificates", partial(_delete_all, issuing.cert_manager.admin))
    return build()


def _delete_all(admin: Admin) -> bool:
    """Return whether there was nothing left; what cert-manager has just made is deleted the next time."""
    found = [path for path in resources.PATHS if admin.list(path)]
    for path in found:
        admin.delete(path)
    return not found


def _create_issuers(world: World, acme: Acme) -> None:
    """ACME by a ClusterIssuer and by an Issuer, and a CA of our own by a ClusterIssuer."""
    root = pki.Authority("life test CA")
    authority = world.sandbox.authority
    for manifest in (
        _root_secret(root, NAMESPACE),
        _root_secret(root, SOURCE_NAMESPACE),
        resources.issuer("ca", ca={"secretName": ROOT}),
        resources.acme_issuer(acme, authority),
        resources.acme_issuer(acme, authority, kind="Issuer"),
    ):
        world.ops.ensure(manifest)
    paths = [object_path(resources.issuer(name)) for name in ("ca", resources.ACME_ISSUER)]
    until(
        "the issuers",
        lambda: all(
            resources.condition(world.ops.get(path), "Ready").get("status") == "True" for path in paths
        ),
    )


def _root_secret(root: pki.Authority, namespace: str) -> Manifest:
    data = {"tls.crt": root.pem, "tls.key": pki.key_pem(root.key)}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": ROOT, "namespace": namespace},
        "type": "kubernetes.io/tls",
        "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
    }
