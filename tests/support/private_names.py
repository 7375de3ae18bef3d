"""The private names of other packages, read from their source, and where the product uses them."""

from __future__ import annotations

import ast
import importlib
import inspect
import textwrap
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from tests.support.paths import ROOT

PACKAGES = ("textual", "rich", "httpx", "httpcore")
LAYERS = ("collectors", "themes", "widgets", "console")
#: Private by their spelling, public by their documentation.
_NAMED_TUPLE = frozenset({"_replace", "_fields", "_asdict", "_make"})

Use = tuple[str, int, str]
"""File, line, and the private name that is used there."""


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name != "_" and name not in _NAMED_TUPLE


def is_foreign(module: str) -> bool:
    return module.split(".", maxsplit=1)[0] in PACKAGES


@cache
def names_of(owner: type) -> frozenset[str]:
    """Private names of a class and of its ancestors in `PACKAGES`, those that only a method sets included."""
    found: set[str] = set()
    for one in owner.__mro__:
        if is_foreign(one.__module__):
            found.update(one.__dict__)
            # Function by function: httpx renames the modules of its classes, and Python then finds no class.
            for method in filter(inspect.isfunction, vars(one).values()):
                try:
                    source = ast.parse(textwrap.dedent(inspect.getsource(method)))
                except OSError:
                    continue  # made by a decorator
                found.update(it.attr for it in ast.walk(source) if isinstance(it, ast.Attribute) and _is_own(it))
    return frozenset(filter(is_private, found))


@cache
def names_of_packages() -> frozenset[str]:
    """Every private method, attribute, function and class of `PACKAGES`."""
    found: set[str] = set()
    for package in PACKAGES:
        spec = find_spec(package)
        assert spec is not None and spec.origin is not None
        for file in Path(spec.origin).parent.rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                    found.add(node.name)
                elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                    found.add(node.attr)
    return frozenset(filter(is_private, found))


def _is_own(node: ast.Attribute) -> bool:
    return ast.unparse(node.value) in {"self", "cls", "super()"}


class Product:
    """The classes of these files, and what each file uses of other packages."""

    def __init__(self, sources: dict[str, str]) -> None:
        self.trees = {file: ast.parse(text, file) for file, text in sources.items()}
        self.classes = {
            node.name: (file, node) for file, tree in self.trees.items() for node in tree.body
            if isinstance(node, ast.ClassDef)
        }  # fmt: skip
        self._foreign = {file: dict(_imported(tree)) for file, tree in self.trees.items()}

    def uses(self) -> Iterator[Use]:
        """Each use of a private name: imported, of another object, inherited or overridden, or replaced in a class."""
        for file, tree in self.trees.items():
            for node in ast.walk(tree):
                if isinstance(node, ast.ImportFrom) and is_foreign(node.module or ""):
                    parts = [*(node.module or "").split("."), *(one.name for one in node.names)]
                    yield from ((file, node.lineno, part) for part in parts if is_private(part))
                elif isinstance(node, ast.Import):
                    parts = [part for one in node.names if is_foreign(one.name) for part in one.name.split(".")]
                    yield from ((file, node.lineno, part) for part in parts if is_private(part))
                elif isinstance(node, ast.Attribute):
                    patched = isinstance(node.ctx, ast.Store) and ast.unparse(node.value) in self._foreign[file]
                    other = not _is_own(node) and ast.unparse(node.value) != "os"
                    if patched or (other and is_private(node.attr) and node.attr in names_of_packages()):
                        yield file, node.lineno, node.attr
        for name, (file, node) in self.classes.items():
            inherited = frozenset[str]().union(*map(names_of, self._related(name)))
            for part in ast.walk(node):
                if isinstance(part, ast.Attribute) and _is_own(part) and part.attr in inherited:
                    yield file, part.lineno, part.attr
                elif isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef) and part.name in inherited:
                    yield file, part.lineno, part.name

    def _related(self, name: str) -> set[type]:
        """Classes of other packages that a class inherits from, itself or through what inherits from it."""
        found, todo = set[type](), [name]
        for one in todo:
            todo += [other for other, (_, node) in self.classes.items() if one in _bases(node) and other not in todo]
        for one in todo:
            file, node = self.classes[one]
            for base in _bases(node):
                if base in self.classes:
                    todo += [base] if base not in todo else []
                elif base in self._foreign[file]:
                    module, _, attribute = self._foreign[file][base].rpartition(".")
                    owner = getattr(importlib.import_module(module), attribute)
                    found |= {owner} if isinstance(owner, type) else set()
        return found


def _bases(node: ast.ClassDef) -> list[str]:
    """The bases by their last name, without parameters: `App` of `App[None]`."""
    return [ast.unparse(one.value if isinstance(one, ast.Subscript) else one).rpartition(".")[2] for one in node.bases]


def _imported(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and is_foreign(node.module or ""):
            yield from ((one.asname or one.name, f"{node.module}.{one.name}") for one in node.names)


@cache
def uses_in_product() -> frozenset[Use]:
    files = [path for layer in LAYERS for path in (ROOT / layer).rglob("*.py")]
    sources = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in files}
    return frozenset(Product(sources).uses())
