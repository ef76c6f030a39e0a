"""The process: files, signals, shutdown, exit statuses, name lookups, deferred imports."""
