"""Which code made this? The content of the files of `ppcore` that a piece of Python uses, told apart by hashes."""

import ast
import hashlib
from pathlib import Path

from ppcore.study.settings import REPOSITORY


def code_hashes(source: str) -> dict[str, str]:
    """File -> hash of every file of `ppcore` that `source` imports, directly or through another one of them.

    The hash is of the syntax tree: a changed comment or line break does not count, a touched file neither.
    """
    found: dict[str, str] = {}
    waiting = _imported_files(source)
    while waiting:
        path = waiting.pop()
        name = str(path.relative_to(REPOSITORY))
        if name not in found:
            text = path.read_text(encoding="utf-8")
            found[name] = code_hash(text)
            waiting |= _imported_files(text)
    return dict(sorted(found.items()))


def code_hash(source: str) -> str:
    """First 12 hex digits of the SHA-256 of the syntax tree of a piece of Python."""
    return hashlib.sha256(ast.dump(ast.parse(source)).encode()).hexdigest()[:12]


def _imported_files(source: str) -> set[Path]:
    """Files of `ppcore` that a piece of Python imports itself."""
    modules = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            modules |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules |= {node.module} | {f"{node.module}.{name.name}" for name in node.names}
    stems = [REPOSITORY / module.replace(".", "/") for module in modules if module.split(".")[0] == "ppcore"]
    return {path for stem in stems for path in (stem.with_suffix(".py"), stem / "__init__.py") if path.is_file()}
