"""What does the study say when something is wrong? One sentence that the user can act on."""

import warnings


class StudyError(ValueError):
    """A problem the user can fix: the message names it, what was found, what was wanted and what to do."""


class StudyWarning(UserWarning):
    """Something the user should know; the table at the end of a run repeats it."""


def warn(message: str) -> None:
    """Issue a `StudyWarning` without a source line: it is for the user, not the developer."""
    warnings.warn(message, StudyWarning, stacklevel=2)
