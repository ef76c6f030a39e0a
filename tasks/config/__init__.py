"""The configuration, tls-sync.yaml, as a validated SyncConfig, and the limits of a run in time and number."""
