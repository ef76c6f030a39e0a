"""What options of our commands take; argparse tells of anything else, in one line."""

import argparse


def text(given: str) -> str:
    """Not empty: that is most often a variable that is not set, and must not pass for no option at all."""
    if not given.strip():
        raise argparse.ArgumentTypeError("is empty; is a variable not set?")
    return given
