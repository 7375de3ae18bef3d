"""The one kind of error that is told to a person in plain words instead of with a traceback."""


class Told(Exception):
    """What happened, to what, and what to do next, in the text. The command line prints it and ends with 2."""
