"""What processes hold in memory, as Linux counts it."""

import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

MIB = 1024
"""The kernel counts in KiB."""

_MAPPING = re.compile(r"[0-9a-f]+-[0-9a-f]+ \S+ ([0-9a-f]+) (\S+) (\d+)")


@dataclass
class Peak:
    """The maximum over all samples of a process and its children."""

    processes_kib: dict[int, int] = field(default_factory=dict)
    """Peak resident set of each process (VmHWM), exact at the time of the last sample."""
    together_kib: int = 0
    """Resident sets of all at one moment; a page of a file that several map counts once."""
    pss_kib: int = 0
    """Proportional set size of all at one moment: lower, as other programs map some of the files too."""

    @property
    def mib(self) -> float:
        """Of the largest process."""
        return in_mib(max(self.processes_kib.values(), default=0))

    @property
    def together_mib(self) -> float:
        return in_mib(self.together_kib)

    def sample(self, process: int, *, shared: bool = False) -> None:
        """With `shared`, count shared pages too, which takes the process some milliseconds."""
        family = _family(process)
        for member in family:
            if high := _field(f"/proc/{member}/status", "VmHWM"):
                self.processes_kib[member] = high
        if shared:
            self.together_kib = max(self.together_kib, _together(family))
            rollups = (_field(f"/proc/{member}/smaps_rollup", "Pss") for member in family)
            self.pss_kib = max(self.pss_kib, sum(rollups))


def in_mib(kib: int) -> float:
    return round(kib / MIB, 1)


def _family(process: int) -> list[int]:
    """A process and all its descendants."""
    family = [process]
    for member in family:
        for thread in _threads(member):
            text = _read(f"/proc/{member}/task/{thread}/children")
            family += [int(child) for child in text.split()]
    return family


def _threads(member: int) -> list[str]:
    try:
        return [task.name for task in Path(f"/proc/{member}/task").iterdir()]
    except OSError:
        return []


def _together(family: list[int]) -> int:
    """Anonymous memory of each process; of a file's pages, the most that one of them maps."""
    anonymous = 0
    files: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for member in family:
        mapping, resident = ("", "", ""), 0
        for line in _read(f"/proc/{member}/smaps").splitlines():
            if found := _MAPPING.match(line):
                mapping = (found[1], found[2], found[3])
            elif line.startswith("Rss:"):
                resident = int(line.split()[1])
            elif line.startswith("Anonymous:"):
                own = int(line.split()[1])
                anonymous += own
                files[mapping].append(resident - own)
    return anonymous + sum(max(sizes) for mapping, sizes in files.items() if mapping[2] != "0")


def _field(path: str, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB", _read(path), re.MULTILINE)
    return int(found[1]) if found else 0


def _read(path: str) -> str:
    """Empty where the process is gone."""
    try:
        return Path(path).read_text()
    except OSError:
        return ""
