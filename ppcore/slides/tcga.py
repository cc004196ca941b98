"""Which TCGA slides make up a cohort, and how are they downloaded? (section 2.1, Table 1)

The slides are open data of the Genomic Data Commons (GDC). A manifest lists them: one line per slide with its size and
MD5, one slide per participant. It is an input of the study, so that everyone cuts the same slides.
"""

import os
import shutil
import time
from pathlib import Path

import pandas as pd
import pooch
import requests
from filelock import FileLock
from tqdm import tqdm
from urllib3.util import Retry

from ppcore.slides.cohorts import TCGA
from ppcore.study.errors import StudyError
from ppcore.study.files import write_text

GDC = os.environ.get("PRIORPATH_GDC") or "https://api.gdc.cancer.gov"
MANIFEST = ("file_id", "file_name", "md5sum", "file_size", "participant")
SLIDES = 50  # Table 1
TIMEOUT = 10, 60  # s to connect, and between two bytes
ATTEMPTS = 6  # in a row without a new byte
BLOCK = 2**14  # bytes; an unfinished block is lost with its connection
PAGE = 500  # hits per request
PAUSE = 0.5  # s before the next attempt; doubles after each fruitless one

pooch.get_logger().setLevel("WARNING")  # the progress bars show what it does


def find_slides(cohort: str, count: int = SLIDES, server: str = GDC) -> pd.DataFrame:
    """Ask the GDC for the diagnostic slides of a cohort, and take the first one from each of `count` participants.

    cohort: a key of `TCGA`. Slides are ordered by file_id, so the answer is the same everywhere as long as the GDC
    holds the same files. Returns a manifest, columns as `MANIFEST` (file_size in bytes). Raises `StudyError` if the
    GDC cannot be reached, does not answer as documented, or has fewer participants.
    """
    wanted = {"cases.project.project_id": TCGA[cohort], "files.data_type": "Slide Image",
              "files.experimental_strategy": "Diagnostic Slide", "files.data_format": "SVS", "files.access": "open"}
    filters = {"op": "and", "content": [{"op": "in", "content": {"field": field, "value": [value]}}
                                        for field, value in wanted.items()]}
    question = {"filters": filters, "fields": "file_id,file_name,md5sum,file_size,cases.submitter_id",
                "sort": "file_id:asc", "format": "JSON", "size": PAGE}
    rows: list[dict] = []
    with requests.Session() as session:
        retry = Retry(ATTEMPTS, backoff_factor=PAUSE, status_forcelist=(429, 500, 502, 503, 504), allowed_methods=None)
        session.mount(server, requests.adapters.HTTPAdapter(max_retries=retry))
        total = 1
        while len(rows) < total:
            try:
                answer = session.post(f"{server}/files", json={**question, "from": len(rows)}, timeout=TIMEOUT)
                answer.raise_for_status()
                data = answer.json()["data"]
                hits, total = data["hits"], data["pagination"]["total"]
                rows += [{**{name: hit[name] for name in MANIFEST[:-1]},
                          "participant": hit["cases"][0]["submitter_id"]} for hit in hits]
            except requests.RequestException as error:
                raise StudyError(f"{server} gave no list of slides for {cohort} ({error}): try again later, or use "
                                 "slides on disk with --slides DIR") from None
            except (KeyError, IndexError, TypeError, ValueError) as error:
                raise StudyError(f"{server}/files did not answer as the GDC does ({type(error).__name__}: {error}): "
                                 "wanted data.hits with file_id, file_name, md5sum, file_size and cases") from None
            if not hits:
                break
    manifest = pd.DataFrame(rows, columns=list(MANIFEST)).sort_values("file_id").drop_duplicates("participant")
    if len(manifest) < count:
        raise StudyError(f"{server} lists diagnostic slides of {len(manifest)} participants of {TCGA[cohort]}, "
                         f"wanted {count}: try again later, or use slides on disk with --slides DIR")
    return manifest.head(count).reset_index(drop=True)


def load_manifest(path: str | Path, cohort: str, server: str = GDC) -> pd.DataFrame:
    """Read the manifest at `path`; if there is none, ask the GDC and store it first.

    Lines may be removed from a manifest by hand, to use fewer slides. Raises `StudyError` if it lacks a column, has no
    lines or names a participant twice.
    """
    path = Path(path)
    if not path.exists():
        write_text(path, find_slides(cohort, server=server).to_csv(index=False))
    manifest = pd.read_csv(path, dtype={name: str for name in MANIFEST if name != "file_size"})
    missing = [name for name in MANIFEST if name not in manifest.columns]
    if missing or manifest.empty:
        raise StudyError(f"{path}: found {len(manifest)} lines with columns {', '.join(manifest.columns)}; wanted one or "
                         f"more, with {', '.join(MANIFEST)}; remove it to get a new one")
    twice = manifest["participant"][manifest["participant"].duplicated()]
    if len(twice):
        raise StudyError(f"{path}: participant {twice.iloc[0]} has several slides: keep one line per participant")
    paths = manifest["file_name"][manifest["file_name"].str.contains(r"^\.|[/\\]")]
    if len(paths):
        raise StudyError(f"{path}: file_name {paths.iloc[0]!r}: wanted a plain file name")
    return manifest


def fetch(cohort: str, folder: Path, only_say: bool = False) -> bool:
    """Download the slides of a TCGA cohort into `folder`, by the manifest there; return whether all are there.

    only_say: download nothing, only say what is missing. Of two runs of a cohort at once, the second one waits.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".fetch.lock"):
        if only_say and not (folder / "manifest.csv").exists():
            print(f"would ask {GDC} for the slides of {cohort}, and load them")
            return False
        manifest = load_manifest(folder / "manifest.csv", cohort)
        missing = _missing(manifest, folder)
        if only_say and len(missing):
            print(f"would load {len(missing)} of {len(manifest)} slides of {cohort}, {missing['file_size'].sum() / 1e9:.1f} GB")
            return False
        download(manifest, folder)
    return True


def download(manifest: pd.DataFrame, folder: str | Path, server: str = GDC) -> None:
    """Download every slide of a manifest into `folder`, check its MD5, and write `subjects.csv`.

    Slides already there with the right size are skipped; an interrupted download resumes at its last byte. A slide
    gets its final name only once its MD5 is right. Raises `StudyError` before the first byte if the disk has too
    little space, and after `ATTEMPTS` attempts in a row without a new byte.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    missing = _missing(manifest, folder)
    parts = sum(part.stat().st_size for part in (_part(folder, row) for row in missing.itertuples()) if part.exists())
    needed, free = int(missing["file_size"].sum()) - parts, shutil.disk_usage(folder).free
    if needed > free:
        raise StudyError(f"{folder}: {len(missing)} slides to download need {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB "
                         "are free: make room, set PRIORPATH_HOME to a folder on another disk, or remove "
                         "lines from the manifest")

    with tqdm(total=needed, unit="B", unit_scale=True, desc=f"{len(missing)} of {len(manifest)} slides",
              disable=missing.empty) as whole:
        for row in missing.itertuples():
            _load(row, folder, server, whole)
    subjects = manifest.rename(columns={"file_name": "file", "participant": "subject"})[["file", "subject"]]
    write_text(folder / "subjects.csv", subjects.to_csv(index=False))


def _missing(manifest: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """The lines whose slide is missing or has the wrong size."""
    paths = [folder / name for name in manifest["file_name"]]
    sizes = [path.stat().st_size if path.exists() else -1 for path in paths]
    return manifest[manifest["file_size"] != sizes]


def _part(folder: Path, row) -> Path:
    """File of an incomplete slide; hidden, so that it is not taken for an image of the cohort."""
    return folder / f".{row.file_id}.part"


def _load(row, folder: Path, server: str, whole: tqdm) -> None:
    """Download one slide; once more, from its first byte, if its MD5 is wrong."""
    loader = _Resuming(_part(folder, row), row, whole)
    for last in (False, True):
        try:
            pooch.retrieve(f"{server}/data/{row.file_id}", f"md5:{row.md5sum}", row.file_name, folder, downloader=loader)
            return
        except ValueError as error:
            if isinstance(error, StudyError):
                raise
            if last:
                raise StudyError(f"{row.file_name} does not have the MD5 of its manifest, {row.md5sum}, twice in a "
                                 "row: the manifest is old or the transfer is damaged; remove the manifest to get a "
                                 "new one, or try again") from None


class _Resuming:
    """Pooch's downloader hook: downloads into `part`, resumes after every interruption, moves it when complete."""

    def __init__(self, part: Path, row, whole: tqdm) -> None:
        self.part, self.row, self.whole = part, row, whole

    def __call__(self, url: str, output_file: str, pooch: object) -> None:
        fruitless = 0
        with (requests.Session() as session,
              tqdm(total=self.row.file_size, initial=self._have(), unit="B", unit_scale=True, leave=False,
                   desc=self.row.file_name[:23]) as bar):
            while (have := self._have()) < self.row.file_size:
                why = "the connection ended"
                try:
                    self._go_on(session, url, have, bar)
                except requests.RequestException as error:
                    why = str(error)
                if self._have() > self.row.file_size:
                    self.part.unlink()
                    why = f"more than the {self.row.file_size:,} bytes of its manifest arrived"
                fruitless = 0 if self._have() > have else fruitless + 1
                if fruitless == ATTEMPTS:
                    raise StudyError(f"{self.row.file_name}: {ATTEMPTS} attempts in a row brought nothing, the last one: "
                                     f"{why}. {self._have():,} of {self.row.file_size:,} bytes are kept; run the same "
                                     "command to continue")
                if self._have() < self.row.file_size:
                    time.sleep(PAUSE * 2**fruitless)
        self.part.replace(output_file)

    def _have(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _go_on(self, session: requests.Session, url: str, have: int, bar: tqdm) -> None:
        """One request: for the missing bytes, or for all if the server does not support Range."""
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
        with session.get(url, stream=True, timeout=TIMEOUT, headers=headers) as answer:
            answer.raise_for_status()
            goes_on = answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")
            if have and not goes_on:
                bar.update(-have), self.whole.update(-have)
            with open(self.part, "ab" if have and goes_on else "wb") as file:
                for block in answer.iter_content(BLOCK):
                    file.write(block)
                    bar.update(len(block)), self.whole.update(len(block))
