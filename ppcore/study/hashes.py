"""Has a file changed? Its whole content decides, not its time. A file is read once and its hash remembered."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from tqdm import tqdm

from ppcore.study.files import write_text
from ppcore.study.runs import home

LARGE = 2**30  # bytes; hashing more than this shows a progress bar


def content_hashes(files: Mapping[str, Path]) -> dict[str, str]:
    """Name -> first 16 hex digits of the SHA-256 of each file's bytes.

    Hashes are kept in `data/hashes.json`, beside size and times: a file is read again when one of these differs. The
    time of the last change of its entry (ctime) is among them, since a program can set the other one back.
    """
    store = home() / "data" / "hashes.json"
    try:
        known = json.loads(store.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    states = {name: _state(path) for name, path in files.items()}
    places = {name: str(path.resolve()) for name, path in files.items()}
    new = {name for name in files if known.get(places[name], [None])[0] != states[name]}
    size = sum(files[name].stat().st_size for name in new)
    with tqdm(desc="hashing files", total=size, unit="B", unit_scale=True, disable=size < LARGE) as bar:
        for name in sorted(new):
            known[places[name]] = [states[name], _hash(files[name], bar)]
    if new:
        write_text(store, json.dumps(known, indent=0, sort_keys=True))
    return {name: known[places[name]][1] for name in files}


def _state(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def _hash(path: Path, bar: tqdm) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as handle:
        while part := handle.read(2**22):
            digest.update(part)
            bar.update(len(part))
    return digest.hexdigest()[:16]
