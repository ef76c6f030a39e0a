"""The samples of what an inventory found served, beside those that runs have pushed. Pure."""

from collections.abc import Mapping

from tasks.metrics.definitions import Kind
from tasks.metrics.samples import Part, Samples, by_part

ServedByCluster = Mapping[str, Samples]


def served_by_job(
    current: Mapping[str, Samples], found: ServedByCluster, shared_job: str
) -> dict[str, Samples]:
    """Return all samples of what is served in each job that changes, with those that an inventory found.

    Those of a cluster go where its other samples are: the job of its group, or else the shared one.
    """
    parts = {job: by_part(samples) for job, samples in current.items()}
    served: dict[str, dict[str, Samples]] = {}
    for cluster, samples in found.items():
        of_cluster = [job for job, known in parts.items() if any(one.cluster == cluster for one in known)]
        job = next((one for one in sorted(of_cluster) if one != shared_job), shared_job)
        served.setdefault(job, _served(parts.get(job, {})))[cluster] = samples
    return {
        job: tuple(sample for samples in clusters.values() for sample in samples)
        for job, clusters in served.items()
    }


def _served(parts: Mapping[Part, Samples]) -> dict[str, Samples]:
    return {part.cluster: samples for part, samples in parts.items() if part.kind is Kind.SERVED}
