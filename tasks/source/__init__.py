"""Reads OPS: which Secrets are fit to be copied, and their facts. Keys exist here only inside one call."""
