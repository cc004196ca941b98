"""Are the slides of a manifest downloaded whole and once, even from a server that misbehaves?"""

import hashlib
import json
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from ppcore.slides import tcga
from ppcore.slides.folder import list_sources
from ppcore.slides.phantom import Phantom, write_cohort
from ppcore.slides.tcga import MANIFEST, download, find_slides, load_manifest
from ppcore.study.errors import StudyError
from ppcore.tests.test_run import run_all

SIZE = 300_000
CONTENT = {f"id-{i}": np.random.default_rng(i).bytes(SIZE + i) for i in range(3)}


class Gdc(BaseHTTPRequestHandler):
    """Answers as the GDC's documentation says, misbehaves as `server.faults` says: file -> list, one per request."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments) -> None:
        pass

    def do_POST(self) -> None:
        question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.questions.append(question)
        fault = self.server.faults.get("query", [])
        if fault and (kind := fault.pop(0)):
            body = b"{}" if kind == "other" else b"busy"
            return self._send(200 if kind == "other" else int(kind), body)
        hits = self.server.hits[question["from"]:question["from"] + question["size"]]
        answer = {"data": {"hits": hits, "pagination": {"total": len(self.server.hits)}}, "warnings": {}}
        self._send(200, json.dumps(answer).encode())

    def do_GET(self) -> None:
        name = self.path.rsplit("/", 1)[-1]
        faults = self.server.faults.get(name, [])
        fault = faults.pop(0) if faults else ""
        if fault == "redirect":
            return self._send(302, b"", {"Location": f"/elsewhere/{name}"})
        if fault == "503":
            return self._send(503, b"busy")
        content = self.server.content[name]
        if fault == "damaged":
            content = content[:100] + bytes([content[100] ^ 1]) + content[101:]
        if fault == "longer":
            content += b"more"
        start = 0
        if "Range" in self.headers and not self.server.knows_no_range:
            start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        body = content[start:]
        headers = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if start else {}
        self.server.sent[name] += self._send(206 if start else 200, body, headers, fault)

    def _send(self, status: int, body: bytes, headers: dict | None = None, fault: str = "") -> int:
        """Send, and count what was sent; a cut ends the connection after 70,000 bytes, said or unsaid."""
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        if fault == "cut unsaid":
            self.send_header("Connection", "close")
        else:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if fault == "slow":
            self.server.slow.wait(2)  # longer than the client waits for a byte
        sent = body[:70_000] if fault.startswith("cut") else body
        try:
            self.wfile.write(sent)
        except OSError:
            return 0
        self.close_connection = fault != ""
        return len(sent)


def hits_of(contents: dict[str, bytes]) -> list[dict]:
    """What the GDC says of each file."""
    return [{"file_id": name, "file_name": f"TCGA-{i}.svs", "md5sum": hashlib.md5(content).hexdigest(),
             "file_size": len(content), "cases": [{"submitter_id": f"TCGA-{i}"}]}
            for i, (name, content) in enumerate(contents.items())]


@pytest.fixture
def gdc(monkeypatch):
    """The server, and no pauses between attempts."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Gdc)
    server.faults, server.questions, server.sent = {}, [], Counter()
    server.knows_no_range, server.slow = False, threading.Event()
    server.content, server.hits = CONTENT, hits_of(CONTENT)
    server.url = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(tcga, "PAUSE", 0.0)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.slow.set()
    server.shutdown()
    thread.join()
    server.server_close()


def manifest_of(server, count: int = 3) -> pd.DataFrame:
    return find_slides("PRAD", count, server.url)


def whole(folder) -> bool:
    return all((folder / f"TCGA-{i}.svs").read_bytes() == content for i, content in enumerate(CONTENT.values()))


def test_the_question_is_the_gdcs_and_pages_are_put_together(gdc, monkeypatch):
    monkeypatch.setattr(tcga, "PAGE", 2)
    manifest = manifest_of(gdc)
    assert [question["from"] for question in gdc.questions] == [0, 2]
    question = gdc.questions[0]
    assert (question["sort"], question["fields"]) == (
        "file_id:asc", "file_id,file_name,md5sum,file_size,cases.submitter_id")
    asked = {part["content"]["field"]: part["content"]["value"] for part in question["filters"]["content"]}
    assert asked == {"cases.project.project_id": ["TCGA-PRAD"], "files.data_type": ["Slide Image"],
                     "files.experimental_strategy": ["Diagnostic Slide"], "files.data_format": ["SVS"],
                     "files.access": ["open"]}
    assert tuple(manifest.columns) == MANIFEST and manifest["file_id"].tolist() == list(CONTENT)


def test_one_slide_a_participant_the_first(gdc):
    gdc.hits.insert(0, {**gdc.hits[1], "file_id": "id-00", "file_name": "other.svs"})
    assert manifest_of(gdc, 2)["file_name"].tolist() == ["TCGA-0.svs", "other.svs"]
    with pytest.raises(StudyError, match="slides of 3 participants of TCGA-PRAD, wanted 4"):
        manifest_of(gdc, 4)


def test_a_busy_server_is_asked_again_and_another_one_is_named(gdc):
    gdc.faults["query"] = ["503", "503", ""]
    assert len(manifest_of(gdc)) == 3
    gdc.faults["query"] = ["other"]
    with pytest.raises(StudyError, match="did not answer as the GDC does .*'data'"):
        manifest_of(gdc)


def test_a_stored_manifest_is_not_asked_for_again_and_is_checked(gdc, tmp_path, monkeypatch):
    monkeypatch.setattr(tcga.find_slides, "__defaults__", (3, tcga.GDC))
    path = tmp_path / "PRAD.csv"
    first = load_manifest(path, "PRAD", gdc.url)
    gdc.hits.clear()
    pd.testing.assert_frame_equal(load_manifest(path, "PRAD", gdc.url), first)
    for changed, message in ((first.assign(participant="same"), "same has several slides"),
                             (first.drop(columns="md5sum"), "wanted .*file_id, file_name, md5sum"),
                             (first.assign(file_name="../a.svs"), "'../a.svs': wanted a plain file name"),
                             (first.head(0), "found 0 lines")):
        changed.to_csv(path, index=False)
        with pytest.raises(StudyError, match=message):
            load_manifest(path, "PRAD", gdc.url)


@pytest.mark.parametrize("faults", [
    [], ["redirect"], ["503", "503"], ["cut", "cut"], ["cut unsaid", "cut unsaid"], ["slow"], ["damaged"], ["longer"]],
    ids=lambda faults: "-".join(faults) or "none")
def test_slides_come_whole_from_a_server_that_misbehaves(gdc, tmp_path, monkeypatch, faults):
    monkeypatch.setattr(tcga, "TIMEOUT", (5, 0.2))
    gdc.faults["id-1"] = list(faults)
    download(manifest_of(gdc), tmp_path, gdc.url)
    assert whole(tmp_path) and not gdc.faults["id-1"]
    assert pd.read_csv(tmp_path / "subjects.csv")["subject"].tolist() == ["TCGA-0", "TCGA-1", "TCGA-2"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "TCGA-0.svs", "TCGA-1.svs", "TCGA-2.svs", "subjects.csv"]
    if "cut" in "".join(faults):
        assert gdc.sent["id-1"] <= SIZE + 1 + 2 * tcga.BLOCK  # what had come was not asked for again


def test_without_range_a_cut_file_starts_over_and_comes_whole(gdc, tmp_path):
    gdc.knows_no_range = True
    gdc.faults["id-1"] = ["cut"]
    download(manifest_of(gdc), tmp_path, gdc.url)
    assert whole(tmp_path) and gdc.sent["id-1"] == 70_000 + SIZE + 1


def test_nothing_is_loaded_twice_and_a_shortened_file_is_loaded_again(gdc, tmp_path):
    manifest = manifest_of(gdc)
    download(manifest, tmp_path, gdc.url)
    before = gdc.sent.copy()
    download(manifest, tmp_path, gdc.url)
    assert gdc.sent == before
    (tmp_path / "TCGA-2.svs").write_bytes(b"cut short")
    download(manifest, tmp_path, gdc.url)
    assert whole(tmp_path) and gdc.sent["id-0"] == before["id-0"]


def test_a_slide_taken_out_of_the_manifest_is_not_used_unsaid(gdc, tmp_path):
    manifest = manifest_of(gdc)
    download(manifest, tmp_path, gdc.url)
    download(manifest.head(2), tmp_path, gdc.url)
    with pytest.raises(StudyError, match="no subject for 1 of 3 files .TCGA-2.svs"):
        list_sources(tmp_path)
    (tmp_path / "TCGA-2.svs").unlink()
    assert [source.subject for source in list_sources(tmp_path)] == ["TCGA-0", "TCGA-1"]


def test_what_came_is_kept_for_the_next_run_and_is_no_slide(gdc, tmp_path):
    manifest = manifest_of(gdc)
    gdc.faults["id-1"] = ["cut"] + ["503"] * tcga.ATTEMPTS
    with pytest.raises(StudyError, match="TCGA-1.svs: .* brought nothing.*503.*65,536 of 300,001 bytes are kept"):
        download(manifest, tmp_path, gdc.url)
    assert [path.name for path in tmp_path.glob("[!.]*")] == ["TCGA-0.svs"]
    download(manifest, tmp_path, gdc.url)
    assert whole(tmp_path) and gdc.sent["id-1"] <= SIZE + 1 + tcga.BLOCK


def test_a_wrong_md5_twice_ends_in_an_error_and_leaves_no_file(gdc, tmp_path):
    gdc.faults["id-0"] = ["damaged", "damaged"]
    with pytest.raises(StudyError, match="TCGA-0.svs does not have the MD5 of its manifest"):
        download(manifest_of(gdc), tmp_path, gdc.url)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_found_before_the_first_byte(gdc, tmp_path, monkeypatch):
    monkeypatch.setattr(tcga.shutil, "disk_usage", lambda folder: SimpleNamespace(free=SIZE))
    with pytest.raises(StudyError, match="3 slides to download need 0.0 GB, 0.0 GB are free.*manifest"):
        download(manifest_of(gdc), tmp_path, gdc.url)
    assert not gdc.sent


def test_the_command_loads_a_cohort_cuts_it_and_says_before_what_it_would_load(gdc, tmp_path, monkeypatch):
    """Real slides from a real server, through ./run_all.sh's own command line."""
    write_cohort(Phantom("he", 3, 512.0, 512.0, 1.0, 1), tmp_path / "drawn")
    gdc.content = {f"id-{path.stem}": path.read_bytes() for path in sorted((tmp_path / "drawn").glob("*.tif"))}
    gdc.hits = hits_of(gdc.content)
    monkeypatch.setenv("PRIORPATH_GDC", gdc.url)
    command = ["--profile", "smoke", "--cohort", "PRAD", "--only", "01"]
    status, said = run_all(*command, "--dry-run", home=tmp_path)
    assert status == 0 and f"would ask {gdc.url} for the slides of PRAD" in said and not gdc.questions
    manifest_of(gdc).to_csv(tmp_path / "data" / "slides" / "PRAD" / "manifest.csv", index=False)
    status, said = run_all(*command, "--dry-run", home=tmp_path)
    assert status == 0 and "would load 3 of 3 slides of PRAD" in said and not gdc.sent
    status, said = run_all(*command, home=tmp_path)
    assert status == 0, said
    index = pd.read_csv(tmp_path / "data" / "smoke" / "PRAD" / "patches" / "index.csv")
    assert set(index["subject"]) == {"TCGA-0", "TCGA-1", "TCGA-2"}
    status, said = run_all(*command[:-2], "--dry-run", home=tmp_path)
    assert "01_preprocessing" not in said and "02_coarse_masks" in said
