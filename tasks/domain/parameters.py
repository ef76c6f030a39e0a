"""The parameters of one run, as one value from the command line or the Prefect UI to the report. Pure."""

from dataclasses import dataclass, fields

CLUSTER_TAG, GROUP_TAG, DRY_RUN_TAG, FLEET_TAG = "cluster:", "group:", "dry-run", "fleet"
"""The tags of runs in Prefect; the first two are followed by a name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunParameters:
    """The parameters of the flow tls-sync; None means all."""

    cluster: str | None = None
    certificate: str | None = None
    """Name of a Secret on OPS."""
    group: str | None = None
    dry_run: bool = False
    urgent_only: bool = False
    verify: bool = False
    """Read and compare the data of all certificates, whatever the notes on copies say."""

    @property
    def is_narrowed(self) -> bool:
        """Whether the run leaves out clusters, certificates or writes that a run without parameters has."""
        return bool(self.cluster or self.certificate or self.group or self.urgent_only)

    @property
    def run_name(self) -> str:
        """The run's name in Prefect: `sync all`, `sync dev homarr-dev-tls (dry run)`."""
        group = f"group {self.group}" if self.group else ""
        words = ["sync", self.cluster or group or "all", self.certificate or ""]
        marks = {"(dry run)": self.dry_run, "(urgent only)": self.urgent_only, "(verify)": self.verify}
        words += [mark for mark, is_set in marks.items() if is_set]
        return " ".join(word for word in words if word)

    @property
    def tags(self) -> tuple[str, ...]:
        """The run's tags in Prefect: `cluster:dev`, `group:eu`, `dry-run`."""
        chosen = {CLUSTER_TAG: self.cluster, GROUP_TAG: self.group}
        tags = tuple(f"{prefix}{name}" for prefix, name in chosen.items() if name)
        return (*tags, DRY_RUN_TAG) if self.dry_run else tags


def is_run_tag(tag: str) -> bool:
    """Return whether a run sets this tag itself."""
    return tag in (DRY_RUN_TAG, FLEET_TAG) or tag.startswith((CLUSTER_TAG, GROUP_TAG))


PARAMETERS = frozenset(field.name for field in fields(RunParameters))
"""Their names, as in the Prefect UI."""
