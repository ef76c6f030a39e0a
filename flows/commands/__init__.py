"""What `python -m flows` does beside a run, a module per command."""
