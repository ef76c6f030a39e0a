"""The process itself: files, signals, shutdown, exit statuses, imports that are put off."""
