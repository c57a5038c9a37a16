"""What goes wrong and can be told to a user."""


class UserError(Exception):
    """Something that the user can mend; the message is one line that says what is wrong and what to do."""
