"""What goes wrong in compressing a network. Needs no torch."""


class CompressError(Exception):
    """A network cannot be compressed this way; the message is one line for the user."""
