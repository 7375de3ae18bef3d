"""A copy of the product with the first two recipes of ARCHITECTURE.md carried out on it: a node's weight as a new fact
in one row, and as a new action in three files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from .paths import ROOT

#: File to the line before which the text goes.
FIELD = {
    "console/fields/node_fields.py": (
        ")  # fmt: skip\n#: The columns of the list of nodes",
        '    field("weight", "number", "weight", "weight: jobs get the nodes of the lowest first",\n'
        '          column=Shown("weight", 6, priority=14)),\n',
    )
}
ACTION = {
    "collectors/slurm/operations.py": (
        "NODE_COMMENT = UpdateNode",
        'NODE_WEIGHT = UpdateNode(field="Weight", form=re.compile("[0-9]{1,9}"))\n',
    ),
    "console/actions/node_actions.py": (
        '    Action(\n        id="comment"',
        "    Action(\n"
        '        id="weight", operation=operations.NODE_WEIGHT,\n'
        '        key="", kind="node", label="weight", doing="changing…", done="changed",\n'
        '        refuse=_any, inverse="weight",\n'
        '        help="jobs get the nodes of the lowest weight first",\n'
        '        value=Value(noun="weight", example="a whole number", parse=lambda text: str(int(text)),\n'
        "                    current=lambda node: None if node.weight is None else str(node.weight)),\n"
        '        sample="10",\n'
        "    ),\n",
    ),
    "collectors/sim/slurmctld/node_requests.py": (
        "HANDLERS: Handlers = {",
        "def _weigh(_: RequestContext, change: Change, host: Host) -> str | None:\n"
        "    host.weight = int(change.values[host.name])\n"
        "    return None\n\n\n",
    ),
}
_EFFECT = ("    operations.NODE_COMMENT: ", "    operations.NODE_WEIGHT: _of_node(_weigh),\n")


def product(folder: Path, *recipes: dict[str, tuple[str, str]]) -> Path:
    """A copy of the product in `folder` with these recipes."""
    for name in ("console", "collectors", "widgets", "themes", "docs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for recipe in recipes:
        for file, (before, text) in recipe.items():
            path = folder / file
            source = path.read_text(encoding="utf-8")
            assert source.count(before) == 1, f"{file}: {before!r}"
            source = source.replace(before, text + before)
            if file.endswith("node_requests.py"):
                source = source.replace(_EFFECT[0], _EFFECT[1] + _EFFECT[0])
            path.write_text(source, encoding="utf-8")
    return folder


def wacht(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`wacht` of this copy."""
    return python(folder, "-c", "from console.cli.main import main; main()", *words, **environment)


def python(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Python with the packages of this copy."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    env = {**os.environ, "PYTHONPATH": str(folder), "HOME": str(home), "XDG_STATE_HOME": str(home), **environment}
    return subprocess.run(
        [sys.executable, *words], cwd=folder, env=env, capture_output=True, text=True, timeout=120, check=False
    )
