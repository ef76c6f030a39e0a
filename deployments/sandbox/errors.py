"""The error that people see when the sandbox can't do its work."""


class SandboxError(Exception):
    """What is wrong and what to do about it, in a sentence."""
