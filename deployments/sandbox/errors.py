"""The one error that people see when the sandbox can't do its work."""


class SandboxError(Exception):
    """Says in a sentence what is wrong and what to do about it."""
