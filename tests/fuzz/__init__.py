"""Mutated Secrets, Certificates and rows: each leads to a value within a second."""
