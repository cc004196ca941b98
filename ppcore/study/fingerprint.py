"""Which code produced a result? Hashes of Python code without docstrings, comments, annotations, errors and file names.

`definitions` follows classes and functions, in the study or in notebook cells, to everything they use: it decides
whether a trained model still matches its code. `code_hashes` hashes whole files: it decides whether a notebook is
run again.
"""

import ast
import hashlib
import inspect
import linecache
import sys
import sysconfig
import textwrap
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ppcore.study.errors import StudyError
from ppcore.study.runs import REPOSITORY

INSTALLED = tuple(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib"))  # code there is not hashed
AFTER_TRAINING = ("generate", "predict")  # methods that do not affect the weights
PLAIN = (int, float, str, bool, bytes, type(None))


def definitions(*things: Any) -> dict[str, str]:
    """Name -> hash of every own class, function and constant that `things` (classes, functions, objects) use.

    Definitions of the same name share an entry. Raises `StudyError` if the source of a class or function cannot be
    found, as in a plain Python shell.
    """
    found: dict[str, set[str]] = {}
    waiting, seen = list(things), []
    while waiting:
        thing = waiting.pop()
        if isinstance(thing, (list, tuple, set, frozenset)):
            waiting += thing
        elif isinstance(thing, dict):
            waiting += thing.values()
        elif isinstance(thing, (type, types.FunctionType)) or hasattr(thing, "__wrapped__"):
            thing = inspect.unwrap(thing)
            if _is_own(thing) and not any(thing is other for other in seen):
                seen.append(thing)
                tree = _tree(thing)
                found.setdefault(thing.__qualname__, set()).add(_hash(tree))
                waiting += _put_in(thing)
                for name, value in _globals_of(tree, thing):
                    waiting.append(value)
                    if _is_plain(value) or isinstance(value, dict) and _is_plain(tuple(value)):
                        plain = value if _is_plain(value) else tuple(value)  # of a table of functions, only the keys
                        found.setdefault(name, set()).add(hashlib.sha256(repr(plain).encode()).hexdigest()[:12])
        elif _is_own(type(thing)):
            waiting += [type(thing), *vars(thing).values()]
    return {name: " ".join(sorted(hashes)) for name, hashes in sorted(found.items())}


def parts(thing: Any) -> Any:
    """An object described for JSON: its class, plain attributes and own parts, without paths.

    A long list becomes a hash of its content.
    """
    if isinstance(thing, PLAIN):
        return thing.hex() if isinstance(thing, bytes) else thing
    if isinstance(thing, dict):
        return {str(name): parts(value) for name, value in thing.items()}
    if isinstance(thing, (list, tuple)):
        each = [parts(value) for value in thing]
        return each if len(each) <= 8 else f"{len(each)} items, {hashlib.sha256(repr(each).encode()).hexdigest()[:12]}"
    if _is_own(type(thing)):
        return {"class": type(thing).__qualname__, **parts(vars(thing))}
    return type(thing).__qualname__


def code_hash(source: str) -> str:
    """First 12 hex digits of the SHA-256 of what a piece of Python does."""
    return _hash(ast.parse(source))


def code_hashes(source: str) -> dict[str, str]:
    """File -> `code_hash` of every file of `ppcore` that `source` imports, directly or indirectly."""
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


def _imported_files(source: str) -> set[Path]:
    """Files of `ppcore` that a piece of Python imports directly."""
    modules = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            modules |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules |= {node.module} | {f"{node.module}.{name.name}" for name in node.names}
    stems = [REPOSITORY / module.replace(".", "/") for module in modules if module.split(".")[0] == "ppcore"]
    return {path for stem in stems for path in (stem.with_suffix(".py"), stem / "__init__.py") if path.is_file()}


class _Bare(ast.NodeTransformer):
    """Removes what has no effect: docstrings, annotations, error messages."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        return None if isinstance(node.value, ast.Constant) else self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        return ast.arg(node.arg)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        node.annotation = ast.Constant(None)
        return self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        return ast.Raise()


def _hash(tree: ast.AST) -> str:
    return hashlib.sha256(ast.dump(_Bare().visit(tree)).encode()).hexdigest()[:12]


def _is_own(thing: Any) -> bool:
    """Whether a class, function or module belongs to the study, a notebook (__main__) or the user's own files."""
    name = getattr(thing, "__module__", None) or getattr(thing, "__name__", "")
    file = getattr(sys.modules.get(name), "__file__", None)
    return name == "__main__" or file is not None and not file.startswith(INSTALLED)


def _is_plain(value: Any) -> bool:
    return isinstance(value, PLAIN) or isinstance(value, (tuple, frozenset)) and all(map(_is_plain, value)) or (
        isinstance(value, dict) and all(map(_is_plain, (*value, *value.values()))))


def _tree(thing: type | types.FunctionType) -> ast.AST:
    """Syntax tree of one class or function, after `_Bare`, without the methods in AFTER_TRAINING."""
    try:
        source = inspect.getsource(thing)
    except (OSError, TypeError):  # inspect finds classes only in files
        source = next(_cells_with(thing), None)
    if source is None:
        raise StudyError(f"the source of {thing.__qualname__} cannot be found, so its versions cannot be told "
                         "apart: define it in a notebook's cell or in a file")
    try:
        tree = _Bare().visit(ast.parse(textwrap.dedent(source)))
    except SyntaxError:  # a lambda in the middle of a line
        return ast.Constant(source)
    if isinstance(thing, type):
        node = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and node.name == thing.__name__][-1]
        node.body = [part for part in node.body if getattr(part, "name", None) not in AFTER_TRAINING]
        return node
    return tree


def _put_in(kind: Any) -> list[types.FunctionType]:
    """Methods assigned to a class after its definition, as in `Pix2Pix.step = mine`."""
    return [method for name, method in vars(kind).items() if isinstance(kind, type)
            and isinstance(method, types.FunctionType) and name not in AFTER_TRAINING
            and method.__qualname__ != f"{kind.__qualname__}.{name}"
            and method.__code__.co_filename != "<string>"]  # generated by a dataclass


def _cells_with(kind: type) -> Iterator[str]:
    """Source of the cell that defines a class: found by its methods' code, else the last cell that names it."""
    files = [method.__code__.co_filename for method in vars(kind).values() if isinstance(method, types.FunctionType)]
    cells = ["".join(linecache.getlines(file)) for file in files]
    cells += reversed(vars(sys.modules["__main__"]).get("In", []))
    return (cell for cell in cells if f"class {kind.__name__}" in cell)


def _globals_of(tree: ast.AST, thing: type | types.FunctionType) -> Iterator[tuple[str, Any]]:
    """Global names that a class or function uses, with their values; `module.name` too."""
    scope = getattr(thing, "__globals__", None) or vars(sys.modules[thing.__module__])
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in scope and not isinstance(scope[node.id], types.ModuleType):
            yield node.id, scope[node.id]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            module = scope.get(node.value.id)
            if isinstance(module, types.ModuleType) and _is_own(module):
                yield node.attr, getattr(module, node.attr, None)
