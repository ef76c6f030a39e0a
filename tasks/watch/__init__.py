"""Follows OPS and copies each renewal at once, in a process of its own."""
