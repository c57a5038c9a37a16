"""What can be wrong with weights."""


class PretrainedError(Exception):
    """Weights that cannot be read, found or used; the message is one line for the user."""
