"""Runs tests with other versions of the programs beside tls-sync: `python -m tests.compat`."""
