"""What people read after a run: the verdict, the terminal table, the Markdown artifact, the history."""
