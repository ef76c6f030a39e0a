"""Checks whether runs can work, and says what to do if they can't."""
