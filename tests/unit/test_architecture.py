"""The architecture, executable: who may import whom, where processes start, who may write, and how long a file may be.

The table is the house style's. An exception carries its reason, and one that is no longer needed fails too.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from console.actions.registry import BY_ID
from tests.support.paths import ROOT

LAYERS = ("collectors", "themes", "widgets", "console")
MAX_LINES = 600

#: What each layer may import of ours and of Textual's; everything else in these lists' realm is refused.
ALLOWED = {
    "collectors": ("collectors",),
    "themes": ("themes", "textual"),
    "widgets": ("widgets", "collectors.model", "collectors.nodestate", "themes.roles", "textual", "rich"),
    "console": ("console", "collectors", "themes", "widgets", "textual", "rich"),
}
RULED = (*LAYERS, "textual", "rich", "tests")

#: The packages of console, lowest first: each imports only those before it, for types and within functions too.
PACKAGES = (
    "runtime", "ingest", "health", "plant", "queue", "fields", "filters", "preflight", "actions", "config", "journal",
    "gate", "alerts", "triage", "session", "recording", "clusters", "tables", "export", "reports", "doctor", "screens",
    "app", "cli", "pages",
)  # fmt: skip
#: Those that no screen may leak into: they decide, and must be testable and quick without a terminal.
PURE = (
    "runtime", "ingest", "health", "plant", "queue", "fields", "filters", "preflight", "actions", "config", "journal",
    "gate", "alerts", "session", "cli",
)  # fmt: skip
SCREEN = ("textual", "rich", "widgets")
#: Widgets' modules without a widget: numbers with units, pieces of a line, bars, columns as data.
TEXT_ONLY = ("widgets.units", "widgets.cells", "widgets.bars", "widgets.table_column")
MAX_MODULES, MAX_AT_THE_TOP = 30, 12
#: Imports in functions of these start the screen; everything else of theirs stays free of it.
STARTS_SCREEN = {"console.cli.options": "console.app.start"}

WRITERS = ("collectors.site_command_write", "collectors.slurm.writers", "collectors.slurm.commands.write",
           "collectors.slurm.rest.write",
           "collectors.slurm.native.write", "collectors.slurm.native.write_worker", "collectors.sim.write",
           "collectors.alertmanager.write")  # fmt: skip
MAY_WRITE = {"console/gate/gate.py"}
PROCESS_MODULE = "collectors/process.py"
PROCESS_IMPORTS = ("subprocess", "multiprocessing", "pty", "concurrent.futures.process")
PROCESS_CALLS = re.compile(
    r"os\.(fork\w*|system|popen|exec[lv]\w*|spawn\w+|posix_spawnp?)"
    r"|.*\.(create_subprocess_\w+|subprocess_exec|subprocess_shell)"
    r"|(.*\.)?ProcessPoolExecutor|pty\.\w+"
)
HTTP_PACKAGE = "collectors/http/"
HTTP_LIBRARIES = ("httpx", "httpcore", "requests", "urllib3", "http.client", "urllib.request")
DECODING_MODULE = "collectors/decoding.py"
DECODES = re.compile(r"msgspec\.(convert|\w+\.Decoder)")
HEAVY = ("textual", "rich", "ClusterShell", "prometheus_api_client", "httpx", "pynvml", "pyslurm", "requests", "numpy")

#: (file, what it may do all the same): why.
EXCEPTIONS: dict[tuple[str, str], str] = {
    (
        "collectors/source_registry.py",
        "dynamic import",
    ): "finds subpackages by themselves: the one place for collectors",
    ("themes/__init__.py", "dynamic import"): "finds themes by themselves",
    ("collectors/prometheus/sources.py", "dynamic import"): "imports the reader of a plant source when it is opened",
    ("console/app/screen_factory.py", "dynamic import"): "imports a screen when it is first shown, by its row",
    ("console/config/plugins.py", "dynamic import"): "what a site's installed packages add through entry points",
    (
        "console/session/cluster_sources.py",
        "dynamic import",
    ): "opens the transport that fits the site, real or embedded, both written out",
    ("console/filters/language.py", "reads words"): "its text is what a person typed, and it is the parser of that",
    ("console/screens/journal.py", "reads words"): "a person searches the entries for a word",
    ("console/doctor/rights_check.py", "reads words"): "leaves out a word that was shown already",
    ("console/tables/cluster_columns.py", "reads words"): "the colour of a word",
    (
        "console/clusters/cluster_summary.py",
        "reads words",
    ): "whether a chip is shown of a cluster that was closed on purpose",
}
_used: set[tuple[str, str]] = set()

#: In one process: the last test is of what the others have excused.
pytestmark = pytest.mark.xdist_group("architecture")


def excused(file: str, what: str) -> bool:
    """Whether that is an exception; notes that it is still needed."""
    if (file, what) in EXCEPTIONS:
        _used.add((file, what))
        return True
    return False


@cache
def files(*layers: str) -> tuple[str, ...]:
    """Python files of these layers, from the root."""
    found = (path for layer in layers for path in (ROOT / layer).rglob("*.py"))
    return tuple(sorted(str(path.relative_to(ROOT)) for path in found))


@cache
def tree(file: str) -> ast.Module:
    return ast.parse((ROOT / file).read_text(encoding="utf-8"), file)


def module_of(file: str) -> str:
    return file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def file_of(module: str) -> str | None:
    base = module.replace(".", "/")
    return next((file for file in (f"{base}.py", f"{base}/__init__.py") if (ROOT / file).is_file()), None)


def _only_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}


def walk(node: ast.AST, running: bool) -> Iterator[ast.AST]:
    """Every node below; with `running` only what runs at import: no function bodies, nothing for type checkers."""
    for child in ast.iter_child_nodes(node):
        if running and (
            isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or _only_for_types(child)
        ):
            continue
        yield child
        yield from walk(child, running)


@cache
def imports(file: str, running: bool = False) -> tuple[tuple[str, int], ...]:
    """Modules that a file imports (`from a import b` counts as a.b where that is a module) and the lines."""
    found: list[tuple[str, int]] = []
    package = module_of(file).split(".") if file.endswith("__init__.py") else module_of(file).split(".")[:-1]
    for node in walk(tree(file), running):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*start, *([node.module] if node.module else [])])
            for alias in node.names:
                deeper = f"{base}.{alias.name}"
                outside = base.split(".")[0] not in LAYERS
                found.append((deeper if outside or file_of(deeper) else base, node.lineno))
    return tuple(found)


def within(module: str, names: tuple[str, ...]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in names)


def package_of(module: str) -> str | None:
    """The package of console that a module is of."""
    parts = module.split(".")
    return parts[1] if parts[0] == "console" and len(parts) > 1 else None


def test_packages_of_the_console_import_one_way():
    wrong = []
    for file in files("console"):
        package = package_of(module_of(file))
        if package is None:
            continue
        assert package in PACKAGES, f"{file}: put the package {package} into PACKAGES"
        for module, line in imports(file):
            other = package_of(module)
            if other and PACKAGES.index(other) > PACKAGES.index(package) and not excused(file, module):
                wrong.append(f"{file}:{line} imports {module}")
    assert not wrong, "\n".join(wrong)


def test_no_circle_between_files():
    graph = {
        module_of(file): {module for module, _ in imports(file) if file_of(module) and module != module_of(file)}
        for file in files(*LAYERS)
    }
    # What imports nothing that is left goes, until only circles are left.
    while gone := [module for module, targets in graph.items() if not targets & graph.keys()]:
        for module in gone:
            del graph[module]
    # And what nothing that is left imports.
    while gone := graph.keys() - {target for targets in graph.values() for target in targets}:
        for module in gone:
            del graph[module]
    assert not graph, f"these import each other: {', '.join(sorted(graph))}"


def test_folders_are_small():
    folders = Counter(file.rpartition("/")[0] for file in files(*LAYERS) if not file.endswith("/__init__.py"))
    assert {folder: count for folder, count in folders.items() if count > MAX_MODULES} == {}
    assert folders["console"] <= MAX_AT_THE_TOP


def test_no_class_name_stands_twice():
    places: dict[str, list[str]] = {}
    for file in files(*LAYERS):
        for node in tree(file).body:
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(file)
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def test_nothing_compares_an_actions_id():
    """What is special about an action is a field of its row. Words that are states or fields too are left out."""
    other_words = {"down", "silence", "comment", "priority", "qos", "features", "release", "reboot", "ticket"}
    ids = BY_ID.keys() - other_words
    # Keys of a set of keys, and the words of scontrol.
    own_words = {"console/config/keymap.py", "collectors/slurm/native/write_worker.py"}
    places: dict[str, set[str]] = {one: set() for one in ids}
    wrong = []
    for file in files(*LAYERS):
        for node in ast.walk(tree(file)):
            if isinstance(node, ast.Constant) and node.value in ids:
                places[node.value].add(file)
            if isinstance(node, ast.Dict) and file not in own_words:
                keys = [one.value for one in node.keys if isinstance(one, ast.Constant) and one.value in ids]
                wrong += [f"{file}:{node.lineno}: looks up {', '.join(keys)}"] if len(keys) > 1 else []
            if isinstance(node, ast.Compare) and re.search(r"\baction(_id|\.id)?$", ast.unparse(node.left)):
                constants = [one.value for side in node.comparators for one in ast.walk(side)
                             if isinstance(one, ast.Constant)]  # fmt: skip
                wrong += [f"{file}:{node.lineno}: {ast.unparse(node)}" for one in constants if one in BY_ID]
    assert not wrong, "\n".join(wrong)
    assert {one: sorted(where) for one, where in places.items() if len(where) > 5} == {}


def test_a_file_name_has_one_meaning():
    page = (ROOT / "docs/glossary.md").read_text()
    table = page[page.index("## File names") :]
    shared = set(re.findall(r"`(\w+)`", table))
    names = Counter(Path(file).stem for file in files(*LAYERS) if not file.endswith("/__init__.py"))
    twice = {name for name, count in names.items() if count > 1}
    assert twice == shared


@pytest.mark.parametrize("layer", LAYERS)
def test_layers_import_only_what_the_table_allows(layer):
    wrong = [
        f"{file}:{line} imports {module}"
        for file in files(layer)
        for module, line in imports(file)
        if within(module, RULED) and not within(module, ALLOWED[layer]) and not excused(file, module)
    ]
    assert not wrong, "\n".join(wrong)


def test_deciding_modules_know_no_screen():
    wrong = []
    for file in files(*(f"console/{name}" for name in PURE)):
        wrong += [
            f"{file}:{line} imports {module}"
            for module, line in imports(file)
            if within(module, ("textual", "rich", "widgets"))
            and not within(module, TEXT_ONLY)
            and not excused(file, module)
        ]
        wrong += _leaks(module_of(file))
    assert not wrong, "\n".join(wrong)


def _leaks(start: str) -> list[str]:
    """How a module's import reaches Textual through others, each leak as the path to it."""
    seen, todo, wrong = {start}, [(start, start)], []
    while todo:
        module, path = todo.pop()
        file = file_of(module)
        if file is None:
            continue
        for target, line in imports(file, running=True):
            if within(target, ("textual", "rich")):
                wrong.append(f"{path} -> {target} ({file}:{line})")
            parents = [target.rsplit(".", depth)[0] for depth in range(target.count(".") + 1)]
            for one in parents:
                if one.split(".")[0] in LAYERS and one not in seen:
                    seen.add(one)
                    todo.append((one, f"{path} -> {one}"))
    return wrong


def test_only_the_command_line_starts_the_screen():
    for module, app in STARTS_SCREEN.items():
        file = file_of(module)
        assert file is not None
        lazy = set(imports(file)) - set(imports(file, running=True))
        assert app in {target for target, _ in lazy}, f"{module} no longer imports {app}: drop it from the list"
    others = [
        f"{file}:{line} imports {target}"
        for file in files(*(f"console/{name}" for name in PURE))
        if module_of(file) not in STARTS_SCREEN
        for target, line in imports(file)
        if within(target, ("console.app", "console.screens"))
    ]
    assert not others, "\n".join(others)


def test_only_the_gate_can_write():
    wrong = [
        f"{file}:{line} imports {module}"
        for file in files(*LAYERS)
        for module, line in imports(file)
        if within(module, WRITERS) and file not in MAY_WRITE and not within(module_of(file), WRITERS)
        and not excused(file, module)
    ]  # fmt: skip
    assert not wrong, "\n".join(wrong)


def test_only_the_gate_names_the_writers():
    """A writer's module as a string is an import that is not written as one."""
    wrong = [
        f"{file}:{node.lineno} names {node.value}"
        for file in files(*LAYERS)
        for node in ast.walk(tree(file))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and file not in MAY_WRITE
        if node.value.partition(":")[0] in WRITERS and not excused(file, node.value)
    ]  # fmt: skip
    assert not wrong, "\n".join(wrong)


def test_processes_start_in_one_module():
    wrong = []
    for file in files(*LAYERS):
        if file == PROCESS_MODULE:
            continue
        wrong += [
            f"{file}:{line} imports {module}"
            for module, line in imports(file)
            if within(module, PROCESS_IMPORTS) or PROCESS_CALLS.fullmatch(module)
            if not excused(file, module)
        ]
        for node in ast.walk(tree(file)):
            if isinstance(node, ast.Attribute | ast.Name):
                call = ast.unparse(node)
                if PROCESS_CALLS.fullmatch(call) and not excused(file, call):
                    wrong.append(f"{file}:{node.lineno} uses {call}")
    assert not wrong, "\n".join(wrong)


def test_http_is_sent_by_one_package():
    wrong = [
        f"{file}:{line} imports {module}"
        for file in files(*LAYERS)
        for module, line in imports(file)
        if within(module, HTTP_LIBRARIES) and not file.startswith(HTTP_PACKAGE)
    ]
    assert not wrong, "\n".join(wrong)


def test_nothing_is_imported_behind_the_back_of_these_tests():
    wrong = []
    for file in files(*LAYERS):
        for node in ast.walk(tree(file)):
            if isinstance(node, ast.Call):
                call = ast.unparse(node.func)
                hidden = call.endswith("import_module") or call in {"__import__", "exec", "eval"}
                if hidden and not excused(file, "dynamic import"):
                    wrong.append(f"{file}:{node.lineno} calls {call}")
    assert not wrong, "\n".join(wrong)


def test_decoders_are_made_in_one_module():
    """Two threads that meet a type of msgspec first at one moment end the process: `collectors.decoding` sees to it."""
    wrong = []
    for file in files(*LAYERS):
        for node in ast.walk(tree(file)) if file != DECODING_MODULE else ():
            if isinstance(node, ast.Call) and any(word.arg == "type" for word in node.keywords):
                call = ast.unparse(node.func)
                wrong += [f"{file}:{node.lineno} calls {call}"] if call.startswith("msgspec.") else []
            elif isinstance(node, ast.Attribute) and DECODES.fullmatch(ast.unparse(node)):
                said = id(node) in _annotations(file)
                wrong += [] if said else [f"{file}:{node.lineno} uses {ast.unparse(node)}"]
            elif isinstance(node, ast.Import):
                renamed = [one for one in node.names if one.name.split(".")[0] == "msgspec" and one.asname]
                wrong += [f"{file}:{node.lineno} calls {one.name} {one.asname}" for one in renamed]
            elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "msgspec":
                made = [one for one in node.names if one.name in {"convert", "Decoder", "decode", "json", "msgpack"}]
                wrong += [f"{file}:{node.lineno} imports {one.name}" for one in made]
    assert not wrong, "\n".join(wrong)


@cache
def _annotations(file: str) -> frozenset[int]:
    """The nodes that only say what type something has."""
    said = []
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.AnnAssign | ast.arg):
            said.append(node.annotation)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            said.append(node.returns)
    return frozenset(id(node) for one in said if one is not None for node in ast.walk(one))


HEX = re.compile(r"(?<![\w&#])#(?:[0-9a-fA-F]{8}|[0-9a-fA-F]{6}|[0-9a-fA-F]{3,4})(?![\w-])|\brgba?\(")


def test_colours_are_written_in_themes_only():
    wrong = []
    for file in files("collectors", "widgets", "console"):
        told = {id(node.body[0].value) for node in ast.walk(tree(file)) if _has_docstring(node)}
        for node in ast.walk(tree(file)):
            text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
            found = HEX.search(text) if id(node) not in told else None
            if found and not excused(file, found[0]):
                wrong.append(f"{file}:{node.lineno} writes {found[0]}")
    for sheet in (path for layer in ("widgets", "console") for path in (ROOT / layer).rglob("*.*css")):
        wrong += [f"{sheet.relative_to(ROOT)} writes {found}" for found in HEX.findall(sheet.read_text())]
    assert not wrong, "\n".join(wrong)


def _has_docstring(node: ast.AST) -> bool:
    body = getattr(node, "body", None)
    return isinstance(body, list) and bool(body) and isinstance(body[0], ast.Expr)


#: Fields that hold sentences made for people, and what looks into a text.
SENTENCES = {"text", "why", "warning", "failure", "err"}
LOOKS_INTO = {"startswith", "endswith", "find", "index", "count", "partition", "rpartition", "split", "removeprefix",
              "removesuffix", "match", "search", "fullmatch", "sub", "findall", "finditer"}  # fmt: skip
_SAME_WORDS = {"lower", "strip", "casefold"}


def _sentence(node: ast.AST) -> bool:
    while isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _SAME_WORDS:
        node = node.func.value
    return isinstance(node, ast.Attribute) and node.attr in SENTENCES


def reads_words(module: ast.Module) -> Iterator[int]:
    """Lines where something depends on what a sentence made for people says."""
    for node in ast.walk(module):
        if isinstance(node, ast.Compare):
            compared = zip(node.ops, [node.left, *node.comparators], node.comparators, strict=False)
            compares = ast.In | ast.NotIn | ast.Eq | ast.NotEq
            if any(isinstance(op, compares) and (_sentence(a) or _sentence(b)) for op, a, b in compared):
                yield node.lineno
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in LOOKS_INTO
            and any(map(_sentence, (node.func.value, *node.args)))
        ):
            yield node.lineno


def test_no_decision_reads_text_made_for_people():
    wrong = [f"{file}:{line}" for file in files("console") if (lines := [*reads_words(tree(file))])
             and not excused(file, "reads words") for line in lines]  # fmt: skip
    assert not wrong, f"give it a code or a value to decide by: {', '.join(wrong)}"


@pytest.mark.parametrize(
    "line",
    ["_FLOWING.sub('', check.text)", "'set aside' in told.why", "outcome.why.startswith('gone')", "a.why == 'closed'",
     "'x' in one.text.lower()"],
)  # fmt: skip
def test_that_reading_of_words_is_found(line):
    assert list(reads_words(ast.parse(line))) == [1]
    assert not list(reads_words(ast.parse("check.code == 'xid'; found[one.why]; f'{one.why}: {one.text}'")))


def test_no_file_is_long():
    lengths = {file: (ROOT / file).read_text().count("\n") for file in files(*LAYERS, "tests")}
    wrong = [f"{file} has {lines} lines" for file, lines in lengths.items() if lines > MAX_LINES]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("module", ["console.cli.main", "console.session.snapshot", "collectors.source_registry"])
def test_a_start_imports_nothing_heavy(module):
    script = (
        f"import sys; import {module}; from collectors import source_registry; source_registry.descriptors();"
        f"print(*[name for name in {HEAVY!r} if name in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ended.stdout.split() == []


@pytest.mark.parametrize("layer", LAYERS)
def test_every_module_opens_with_what_it_is_for(layer):
    wrong = [
        file for file in files(layer) if ast.get_docstring(tree(file)) is None and (ROOT / file).read_text().strip()
    ]
    assert not wrong, f"no docstring: {', '.join(wrong)}"


def test_every_package_says_what_belongs_there():
    packages = [file for file in files(*LAYERS) if file.endswith("/__init__.py")]
    assert len(packages) > 30
    assert [
        file for file in packages if len(ast.get_docstring(tree(file)) or "") < 40 and file != "themes/__init__.py"
    ] == []


def test_the_page_names_packages_and_files_that_there_are():
    page = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    named = {name for name in re.findall(r"`([\w/]+(?:\.py|/)?)`", page) if "/" in name}
    assert len(named) > 40
    places = (ROOT, ROOT / "console")
    assert [name for name in sorted(named) if not any((place / name).exists() for place in places)] == []
    assert set(PACKAGES) <= set(re.findall(r"console/(\w+)", page))
    assert len(page.splitlines()) <= 120, "a page that is read in five minutes"


def test_no_test_imports_another():
    names = {Path(file).stem for file in files("tests") if Path(file).name.startswith("test_")} | {"conftest"}
    found = [
        f"{file}:{line} imports {module}"
        for file in files("tests")
        for module, line in imports(file)
        if module.startswith("tests.") and not names.isdisjoint(module.split(".")[1:])
    ]
    assert found == []


def test_an_id_of_an_action_is_compared_in_few_files():
    """Transports and the simulated Slurm dispatch on the operation of a row, never on the id of an action."""
    ids = set(
        re.findall(
            r'\bid="([\w-]+)", operation=', "".join((ROOT / file).read_text() for file in files("console/actions"))
        )
    )
    assert len(ids) > 35
    words = {"comment", "down", "features", "nice", "priority", "qos", "reserve", "signal", "silence", "take", "ticket"}
    wrong = [
        f"{file}:{node.lineno} {side.value}"
        for file in files("collectors")
        for node in ast.walk(tree(file))
        if isinstance(node, ast.Compare) and "action" in ast.unparse(node)
        for side in ast.walk(node)
        if isinstance(side, ast.Constant) and side.value in ids - words
    ]
    assert wrong == []


def test_every_exception_is_still_needed():
    unused = set(EXCEPTIONS) - _used
    assert not unused, f"these need no exception any more: {sorted(unused)}"
    assert all(reason.strip() for reason in EXCEPTIONS.values())
