"""The watcher: a process that watches OPS and copies each renewal at once."""
