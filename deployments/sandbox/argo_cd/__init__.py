"""Argo CD's controllers, and git repositories that they read."""
