"""The error that a user can put right."""


class UserError(Exception):
    """A mistake in what the user gave, or something that cannot be done; the message is one sentence, for the user."""


def first_line(error: BaseException) -> str:
    """The first line of another error's message, to be part of a sentence; its class if it says nothing."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
