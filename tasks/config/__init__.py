"""Reads tls-sync.yaml into a validated SyncConfig, and defines the limits of a run in time and number."""
