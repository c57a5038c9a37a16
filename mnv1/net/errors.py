"""What can be wrong with a network, its weights or its files."""

from mnv1.base.errors import UserError


class PretrainedError(UserError):
    """Weights that cannot be read, found or used."""


class CompressError(UserError):
    """A network cannot be compressed this way."""
