"""The one exception for mistakes in what a user wrote."""


class DesignError(Exception):
    """A design, operation or property is wrong; the message names the thing and the next move."""
