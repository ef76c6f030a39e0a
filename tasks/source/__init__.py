"""Reads OPS and checks which Secrets are fit to be copied. Keys are in memory only inside one call."""
