"""Secrets, Certificates and rows that were made wrong on purpose: each leads to a value, and soon."""
