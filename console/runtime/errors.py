"""Errors shown to the user as plain text, without a traceback."""


class UserError(Exception):
    """What failed, on what, and what to do next. The command line prints it and exits with 2."""


class FilterError(ValueError):
    """What is wrong with a filter, and the position of the error (0 is the first character)."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.message = message
        self.position = position
