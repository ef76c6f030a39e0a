"""Reads tls-sync.yaml. A ConfigError lists every fault with its path in the file and its remedy."""

import os
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tasks.config import rules
from tasks.config.faults import MAX_FAULTS
from tasks.config.schema import SyncConfig
from tasks.domain.errors import ConfigError
from tasks.runtime.yaml_file import YamlError, read_yaml

VARIABLE = "TLS_SYNC_CONFIG"

MAX_BYTES = 1024 * 1024


def load_config(path: str | None = None) -> SyncConfig:
    """Read and validate the file at `path`, or else at TLS_SYNC_CONFIG.

    Raises ConfigError with every fault.
    """
    where = path or os.environ.get(VARIABLE)
    if not where:
        raise ConfigError(
            f"{VARIABLE} is not set. Name your configuration by it, or by --config; the command tls-sync "
            "also takes a tls-sync.yaml in this folder. `tls-sync init` proposes one, and "
            "deployments/tls-sync.yaml is a commented example"
        )
    try:
        return parse_config(read_yaml(Path(where), MAX_BYTES, aliases=True))
    except YamlError as error:
        raise ConfigError(f"configuration {where}: {error}") from None
    except ConfigError as error:
        raise ConfigError(f"configuration {where}: {error}") from None


def parse_config(document: Any) -> SyncConfig:
    """Validate a parsed document. Raises ConfigError with every fault."""
    if not isinstance(document, dict):
        raise ConfigError("the file must be a mapping with owner, source and clusters")
    faults = rules.too_many_clusters(document)
    if not faults:
        faults = list(rules.cross_faults(document))
        try:
            config = SyncConfig.model_validate(document)
        except ValidationError as error:
            faults = [*rules.schema_faults(document, error), *faults]
        else:
            if not faults:
                return config.expanded()
    lines = "".join(f"\n  {path}: {message}" for path, message in faults[:MAX_FAULTS])
    if len(faults) > MAX_FAULTS:
        lines += f"\n  and {len(faults) - MAX_FAULTS:,} more"
    raise ConfigError(f"{len(faults)} {'fault' if len(faults) == 1 else 'faults'}{lines}") from None
