"""Does a room import only from lower floors?"""

import ast
import re
from pathlib import Path

import ppcore
from ppcore.methods.table import ROWS

ROOT = Path(ppcore.__file__).parent
FLOORS = {room: int(line.split()[0]) for line in ppcore.__doc__.splitlines() if re.match(r" +\d", line)
          for room in re.findall(r"(?<!\w)(\w+)(?=  +\w)", line.split(maxsplit=1)[1])}


def imports(path: Path) -> set[str]:
    """Rooms that a file imports from, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else (
            [f"{node.module}.{alias.name}" for alias in node.names] if isinstance(node, ast.ImportFrom) else [])
        assert not (isinstance(node, ast.ImportFrom) and node.level), f"{path}: imports are written in full"
        found |= {name.split(".")[1] for name in names if name.startswith("ppcore.")}
    return found


def room_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


METHODS = {row.kind.split(":")[0].split(".")[-1] for row in ROWS}  # whose list is the table
FILES = [path for path in sorted(ROOT.rglob("*.py")) if room_of(path) not in ("tests", "__init__")]


def test_every_room_has_its_floor_and_says_whom_it_serves():
    assert set(FLOORS) == {room_of(path) for path in FILES} and len(FLOORS) == 12
    for room in set(FLOORS) - {"run"}:
        words = ast.get_docstring(ast.parse((ROOT / room / "__init__.py").read_text()))
        assert "For " in words and "mport" in words, room
        named = set(re.findall(r"\w+", words)) | METHODS
        absent = [path.stem for path in (ROOT / room).glob("[!_]*.py") if path.stem not in named]
        assert not absent, f"{room}/__init__.py does not tell of {absent}"


def test_no_import_runs_upwards():
    wrong = [f"{path.relative_to(ROOT)} imports {room}" for path in FILES for room in imports(path)
             if room != room_of(path) and FLOORS[room] >= FLOORS[room_of(path)]]
    assert not wrong


def test_what_a_room_says_it_imports_is_what_it_imports():
    for room in set(FLOORS) - {"run", "workflow"}:
        words = ast.get_docstring(ast.parse((ROOT / room / "__init__.py").read_text())).split("Imports ")[1].split(".")[0]
        said = set(re.findall(r"\w+", words)) & set(FLOORS)
        used = set().union(*(imports(path) for path in FILES if room_of(path) == room)) - {room}
        assert used == said, room
