"""The chart and its hooks, what target clusters need, and a sandbox to try tls-sync in."""
