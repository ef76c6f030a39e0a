"""Whether runs can work at all, and what to do where they can't."""
