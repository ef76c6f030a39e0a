"""Brings one target cluster in sync: reads it, plans, writes, and deletes what may be deleted."""
