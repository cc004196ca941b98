"""Which file comes from which participant? `subjects.csv`, as people and spreadsheets write it."""

import codecs
import csv
import io
import unicodedata
from pathlib import Path

from ppcore.study.errors import StudyError, warn

SUBJECTS = "subjects.csv"  # in any case
INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff"  # characters without width, which Python does not count as blanks


def tidy(text: str) -> str:
    """A name with its letters composed (Unicode NFC), as macOS does not write them, and no blanks at its ends."""
    before, text = None, unicodedata.normalize("NFC", text)
    while text != before:
        before, text = text, text.strip().strip(INVISIBLE)
    return text


def read_subjects(path: Path, files: set[str]) -> dict[str, str]:
    """File -> subject, both tidied, of a table with the columns file and subject, among others.

    Read are UTF-8 and UTF-16; columns parted by commas, semicolons or tabs; headings in any case; blank lines. files:
    names in the folder, which decide whether a text that is neither may be taken as Windows-1252. Raises `StudyError`,
    with the line, for anything that would have to be guessed.
    """
    text = _text(path, files)
    lines = text.splitlines(keepends=True)
    skipped = next((number for number, line in enumerate(lines) if line.strip(" \t\r\n,;")), 0)
    if lines and lines[skipped].lower().startswith("sep="):  # Excel's own
        skipped += 1
    heading = lines[skipped] if skipped < len(lines) else ""
    for separator in ",;\t":
        columns = [tidy(cell).casefold() for cell in next(csv.reader([heading], delimiter=separator), [])]
        if {"file", "subject"} <= set(columns):
            break
    else:
        raise StudyError(f"{path}, line {skipped + 1}: found {heading.strip()[:80]!r}; wanted a heading with the "
                         "columns file and subject, parted by commas, semicolons or tabs")
    return _rows(path, "".join(lines[skipped:]), separator, columns, skipped)


def _rows(path: Path, text: str, separator: str, columns: list[str], skipped: int) -> dict[str, str]:
    """As `read_subjects`, from the heading on. skipped: lines before it."""
    subject_of: dict[str, str] = {}
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        next(reader)
        for cells in reader:
            where = f"{path}, line {skipped + reader.line_num}"
            cells = [tidy(cell) for cell in cells]
            if not any(cells):
                continue
            if any(cells[len(columns):]):
                raise StudyError(f"{where}: found {len(cells)} columns, the heading has {len(columns)}: put a text that "
                                 "contains the separator in double quotes")
            row = dict(zip(columns, cells))
            file, subject = row.get("file", ""), row.get("subject", "")
            if not file or not subject:
                raise StudyError(f"{where} has no {'subject' if file else 'file'}: fill it in or remove the line")
            if any(unicodedata.category(letter) == "Cc" for letter in file + subject):
                raise StudyError(f"{where}: found a control character in {f'{file},{subject}'[:80]!r}: write it again")
            file, subject = file.replace("\\", "/"), " ".join(subject.split())  # a no-break space is a space
            if file in subject_of:
                raise StudyError(f"{where}: {file} is listed a second time: keep one line per file")
            subject_of[file] = subject
    except csv.Error as error:
        raise StudyError(f"{path}, line {skipped + reader.line_num}: {error}: save it again as CSV") from None
    alike: dict[str, str] = {}
    for subject in subject_of.values():
        other = alike.setdefault(subject.casefold(), subject)
        if other != subject:
            warn(f"{path}: {other} and {subject} differ only in case and are taken as two subjects")
    return subject_of


def _text(path: Path, files: set[str]) -> str:
    """The text of a table, whatever its coding, where that is certain."""
    raw = path.read_bytes()
    if not raw.strip():
        raise StudyError(f"{path} is empty: wanted the columns file and subject, or remove it to make every file a "
                         "subject of its own")
    try:
        if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return raw.decode("utf-16")
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[:error.start].count(b"\n") + 1
        wrong = StudyError(f"{path}, line {line}: found text that is not UTF-8: save it as \"CSV UTF-8\"")
    try:
        text = raw.decode("cp1252")
    except UnicodeDecodeError:
        raise wrong from None
    cells = {tidy(cell.strip(' "')).replace("\\", "/") for line in text.splitlines()
             for separator in ",;\t" for cell in line.split(separator)}
    foreign = [name for name in files if not name.isascii()]
    if not foreign or not set(foreign) <= cells:  # nothing shows that the letters are read rightly
        raise wrong
    warn(f"{path} is not UTF-8; read as Windows-1252, in which it names the files that are there")
    return text
