"""The commands to type while the sandbox is up."""

import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from deployments.sandbox.demo.prefect_server import ROOT, PrefectServer
from deployments.sandbox.programs.binaries import locate
from deployments.sandbox.progress import Say
from deployments.sandbox.world.scenario import World

_TEXT = """
The sandbox is up: clusters ops, dev, rct and prd, and Prefect's UI at
  {ui}     which asks for the password {password}

A run starts every hour, and whenever you start one. In another terminal, first:
{exports}

Copy what OPS has to the clusters, and look at a copy (its values stay hidden):
  prefect deployment run tls-sync/ops --watch
  kubectl --context cluster-dev -n homarr-dev describe secret homarr-dev-tls

Only one cluster, or only the plan:
  prefect deployment run tls-sync/ops -p cluster=dev --watch
  prefect deployment run tls-sync/ops -p dry_run=true --watch

Check OPS and the clusters, and write nothing:
  prefect deployment run tls-sync-preflight/ops --watch

Edit a copy by hand, and let a run repair it:
  kubectl --context cluster-dev -n homarr-dev patch secret homarr-dev-tls \\
    -p '{{"stringData":{{"tls.crt":"edited by hand"}}}}'
  prefect deployment run tls-sync/ops -p cluster=dev --watch

OPS has cert-manager and an ACME server. Renew a certificate, as `cmctl renew` does, and copy it:
  kubectl --context cluster-ops -n certificates-ops get certificates,orders
  python -m deployments.sandbox renew homarr-prd-tls
  prefect deployment run tls-sync/ops --watch

See or change the routes (each run reads them anew):
  cat $TLS_SYNC_CONFIG

KUBECONFIG above has all rights, for you. The runs have their own, with only the rights that we ship.
Reports: in the UI, under Artifacts and in the log of each run; here: prefect flow-run logs ID.

Ctrl-C here stops and removes everything.
"""


def text(world: World, server: PrefectServer, overriding: Sequence[str], say: Say) -> str:
    """Return the guide. `overriding` are the user's variables for Prefect, which the commands unset."""
    variables = {
        "PREFECT_HOME": server.home,
        "PREFECT_API_URL": server.api,
        "PREFECT_API_AUTH_STRING": server.password,
        "TLS_SYNC_CONFIG": world.config,
        "KUBECONFIG": world.admin_kubeconfig,
    }
    folders = [Path(sys.executable).parent, *_kubectl(say)]
    path = ":".join([*(shlex.quote(str(folder)) for folder in folders), "$PATH"])
    lines = [
        f"cd {shlex.quote(str(ROOT))}",
        *([f"unset {' '.join(overriding)}"] if overriding else []),
        f"export PATH={path}",
        *(f"export {name}={shlex.quote(str(value))}" for name, value in variables.items()),
    ]
    exports = "\n".join(f"  {line}" for line in lines)
    return _TEXT.format(ui=server.ui, password=server.password, exports=exports)


def _kubectl(say: Say) -> list[Path]:
    """Return the folder of a kubectl that fits the servers; none if there is one on PATH."""
    return [] if shutil.which("kubectl") else [locate("kubectl", say=say)["kubectl"].parent]
