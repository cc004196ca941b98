"""What does the study say when something is wrong? One sentence that a person can act on."""

import warnings


class StudyError(ValueError):
    """Something a person has to mend: the message names it, what was found, what was wanted and what to do."""


class StudyWarning(UserWarning):
    """Something a person has to know; the closing table of a run repeats it."""


def warn(message: str) -> None:
    """Issue a `StudyWarning` that names no source line: it is for the reader of the run, not of the code."""
    warnings.warn(message, StudyWarning, stacklevel=2)
