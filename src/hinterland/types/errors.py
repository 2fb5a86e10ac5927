"""The one exception that reaches a user."""


class HinterlandError(Exception):
    """The data, the configuration or the run is at fault, not the program.

    The message says what came, what was expected and what to do. The command line prints it without
    a traceback and exits with 1; anything else that is raised is a bug of ours.
    """
