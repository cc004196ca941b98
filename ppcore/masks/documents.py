"""How is a JSON or XML file of another program read, so that a damaged or hostile one cannot eat memory?"""

import json
from pathlib import Path
from xml.etree import ElementTree

from ppcore.study.errors import StudyError

LARGEST_BYTES = 128 * 2**20  # per file of regions; the outlines of a slide's 100,000 nuclei take about 100 MB
MOST_VALUES = 6_000_000  # per file; each takes about 70 bytes once parsed
MOST_ELEMENTS = 1_000_000  # per XML file; each takes about 500 bytes once parsed


def read_json(path: Path, program: str, largest: int = LARGEST_BYTES, most: int = MOST_VALUES,
              smaller: str = "") -> object:
    """The content of a JSON file in UTF-8 or UTF-16, with or without its mark.

    program: that should have written it, for the messages. largest: bytes. most: values. smaller: how to save it with
    fewer bytes. Raises `StudyError` for a file that is larger, cannot be read, or is not JSON.
    """
    stored = _bytes(path, program, largest, smaller or "split it, or simplify its outlines")
    try:
        text = stored.decode(json.detect_encoding(stored))
        values = sum(map(text.count, "[{,"))
        if values > most:
            raise StudyError(f"{path.name} holds {values:,} values; wanted at most {most:,}: simplify its outlines")
        return json.loads(text)
    except (RecursionError, MemoryError):
        raise StudyError(f"{path.name} is nested too deeply for a {program} file: draw it again") from None
    except UnicodeDecodeError as error:
        raise StudyError(f"{path.name} is not JSON in UTF-8, its byte {error.start + 1:,} is "
                         f"{error.object[error.start]:#x}: save the drawing again from {program}, or the file as UTF-8 "
                         "from a text editor") from None
    except ValueError as error:
        if isinstance(error, StudyError):
            raise
        raise StudyError(f"{path.name} is not JSON ({error}): wanted a file saved by {program}") from None


def read_xml(path: Path, program: str) -> ElementTree.Element:
    """The root of an XML file. program: that should have written it. Raises `StudyError` as `read_json` does, and for a
    file that defines a document type, as an entity can be a million times longer than its name."""
    stored = _bytes(path, program, LARGEST_BYTES, "split it, or simplify its outlines")
    plain = stored.replace(b"\0", b"")  # UTF-16, too
    if b"<!DOCTYPE" in plain or b"<!ENTITY" in plain:
        raise StudyError(f"{path.name} defines a document type: wanted the plain XML of {program}")
    if (elements := plain.count(b"<")) > 2 * MOST_ELEMENTS:
        raise StudyError(f"{path.name} holds {elements // 2:,} elements; wanted at most {MOST_ELEMENTS:,}: simplify "
                         "its outlines")
    try:
        return ElementTree.fromstring(stored)
    except (ElementTree.ParseError, LookupError, ValueError, RecursionError, MemoryError) as error:
        raise StudyError(f"{path.name} is not XML ({error}): wanted a file saved by {program}") from None


def _bytes(path: Path, program: str, largest: int, smaller: str) -> bytes:
    try:
        size = path.stat().st_size
        if size > largest:
            raise StudyError(f"{path.name} has {size / 2**20:.0f} MiB; wanted at most {largest / 2**20:.0f}: {smaller}")
        return path.read_bytes()
    except OSError as error:
        raise StudyError(f"{path.name} cannot be read ({error.strerror}): wanted a {program} file") from None
