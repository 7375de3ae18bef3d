"""What is told to a person in plain words instead of with a traceback."""


class UserError(Exception):
    """What happened, to what, and what to do next, in the text. The command line prints it and ends with 2."""


class FilterError(ValueError):
    """What is wrong with a filter, in plain words, and the position (0 is the first character) it is wrong at."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.message = message
        self.position = position
