class HookError(Exception):
    """A sentence for the person who installs: which object is wrong, and what to do."""


class Unreachable(HookError):
    """Prefect's API gave no usable response; a later attempt may get one."""
