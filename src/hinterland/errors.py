"""Define the exception that reaches a user, and its kind for labels."""


class HinterlandError(Exception):
    """The data, the configuration or the run is at fault, not the program.

    The message says what came, what was expected and what to do. The command line prints it without
    a traceback and exits with 1; anything else that is raised is a bug of ours.
    """


class LabelError(HinterlandError):
    """A tree, coarsening, scheme or labels.yaml that has no valid meaning."""
