"""Errors a user can cause."""


class UserError(Exception):
    """A mistake in a configuration, a path or a model, reported in one sentence that names what and where."""
