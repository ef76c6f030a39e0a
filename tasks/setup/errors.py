class SetupError(Exception):
    """What is wrong and what to do, in one sentence, without credentials and without kubectl's text."""
