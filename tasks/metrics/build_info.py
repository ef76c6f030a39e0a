"""The sample that says which version of tls-sync runs, by its label."""

from tasks.metrics.definitions import BUILD_INFO
from tasks.metrics.samples import Sample
from tasks.runtime.version import version


def build_info() -> Sample:
    return Sample(BUILD_INFO, (version(),), 1)
