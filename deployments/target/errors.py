class TargetError(Exception):
    """What a person has to know and to do, in one sentence; never a credential, never kubectl's own text."""
