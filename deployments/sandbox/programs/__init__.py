"""Finds or builds the programs that the sandbox runs."""
