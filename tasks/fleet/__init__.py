"""The fleet: one flow run per group of clusters, where one run would be too small."""
