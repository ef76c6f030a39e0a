class HookError(Exception):
    """What is wrong, for the person who installs: the object, and what to do."""


class Unreachable(HookError):
    """Prefect's API gave no usable answer; that may pass."""
