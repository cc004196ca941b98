"""What does the study say when something is wrong? One sentence that the user can act on."""

import sys
import warnings


class StudyError(ValueError):
    """A problem the user can fix: the message names it, what was found, what was wanted and what to do."""


class StudyWarning(UserWarning):
    """Something the user should know; the table at the end of a run repeats it."""


def some(names: list[str], shown: int = 3) -> str:
    """The first names of a list, for a message."""
    return ", ".join(names[:shown]) + (f" and {len(names) - shown} more" if len(names) > shown else "")


def warn(message: str) -> None:
    """Issue a `StudyWarning` without a source line: it is for the user, not the developer.

    It is put on one line, of which the closing table shows all; a file's name may hold a line break.
    """
    warnings.warn(" ".join(message.splitlines()), StudyWarning, stacklevel=2)


def show_warnings_plainly() -> None:
    """Show warnings without the code that raised them."""
    warnings.showwarning = _show


def _show(message, category, filename, lineno, file=None, line=None) -> None:
    from tqdm import tqdm  # a plain print would break a progress bar

    tqdm.write(f"{category.__name__}: {message}", file=file or sys.stderr)
