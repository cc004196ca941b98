"""How are files written so that a partial one never passes for complete, and tables read so that names stay text?"""

import errno
import hashlib
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

# Columns of the study's tables that hold text, even where it looks like a number (001, 1e5) or like nothing (NA, None)
TEXT = ("cohort", "patch", "file", "subject", "split", "state", "sketch", "origin", "source", "accuracy", "pair",
        "outline", "method", "grid", "kmeans", "hash", "rgb_hash", "fine_hash", "coarse_hash", "sketch_hash",
        "classes_hash")


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path next to `path`; it is renamed to `path` only if the block succeeds.

    The temporary file keeps the suffix, so that image writers recognise the format. It is flushed to disk before
    the rename. If the block or the write fails (a full disk, Ctrl-C), it is removed, an existing `path` is left
    unchanged, and the error is raised.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:12]}.part{path.suffix}")  # process ids may repeat
    try:
        yield temporary
        with open(temporary, "rb+") as handle:
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            advice = ("the disk is full; nothing was left half-written: free some space, or set PRIORPATH_HOME to a "
                      "folder on another disk, and run again")
            raise OSError(errno.ENOSPC, advice, str(path)) from None
        raise


def remove_parts(folder: str | Path) -> None:
    """Remove the temporary files of `atomic` that killed processes left."""
    for left in Path(folder).glob(".*.part*"):
        left.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` (UTF-8) to `path` atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_table(path: str | Path) -> pd.DataFrame:
    """A table that the study stored: the columns TEXT as text, all others as numbers where every cell is one.

    Only an empty cell is missing. Files, subjects and sketches have their users' names, and NA, null, None and nan are
    names, too.
    """
    return pd.read_csv(path, dtype=dict.fromkeys(TEXT, str), keep_default_na=False, na_values=[""])


def hash_file(path: str | Path) -> str:
    """First 16 hex digits of the SHA-256 of a file's bytes: the content hash in the index files."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]
