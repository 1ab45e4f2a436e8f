"""The error of a program that must be set up in another way."""


class SetupError(Exception):
    """The program cannot start with its setup; the message is one sentence that says what to change."""
