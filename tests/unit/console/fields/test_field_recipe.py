"""One row owns a field: a row added to one file is a column, filtered, completed, ordered, exported and documented."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

from console.fields.filter_fields import FIELDS
from console.fields.job_fields import JOB_FIELDS, JOB_SNAPSHOT, JOBS
from console.fields.node_fields import NODE_FIELDS, NODE_SNAPSHOT, NODES
from console.fields.partition_fields import PARTITION_FIELDS, PARTITIONS
from console.fields.reservation_fields import RESERVATION_FIELDS, RESERVATIONS
from tests.support.paths import ROOT

#: A fact that Slurm's answer is read for and that no row of the console shows.
ROW = '    field("memused", "size", "memory_alloc_mb", "memory that jobs hold", column=Shown("mem used", 8)),\n'
LAST = ")  # fmt: skip\n#: The columns of the list of nodes"
#: Run in the copy; prints what people and programs get of the new field.
SCRIPT = """
import json
import console
from collectors.clock import ManualClock
from collectors.model import Cluster, Node
from console.export.export_fields import fields_of
from console.export.table_export import TableExport, written
from console.fields.common_cells import Ctx
from console.filters.completion import filter_candidates
from console.filters.language import compile_filter
from console.pages import fields_page
from console.screens.nodes import NodesScreen
from console.session.snapshot import as_json
from widgets.column_layout import place_columns
from widgets.table_view import SortKey, arrange

nodes = {
    name: Node(name=name, state="MIXED", display="mixed", memory_alloc_mb=held)
    for name, held in (("n1", 2048), ("n2", 524288), ("n3", None))
}
cluster = Cluster(name="c", nodes=nodes, known=frozenset({"nodes"}))
ctx = Ctx(cluster, 1000.0)
columns = NodesScreen.columns
column = columns[-1]
sheet = TableExport(
    name="nodes", columns=columns, fields=fields_of(columns)[1], rows=nodes, keys=tuple(nodes), ctx=ctx
)
print(json.dumps({
    "file": console.__file__,
    "title": place_columns(columns, 300)[-1].column.title,
    "cells": [column.cell(node, ctx) for node in nodes.values()],
    "found": [name for name, node in nodes.items() if compile_filter("memused>4G", "node").matches(node, cluster)],
    "completed": filter_candidates("memu", "node", {}, nodes),
    "order": list(arrange(nodes, SortKey(column.sort, reverse=True)).keys),
    "exported": [row["memory_alloc_mb"] for row in json.loads(b"".join(written(sheet, "json")))],
    "snapshot": [row["memory_alloc_mb"] for row in json.loads(as_json(cluster, ManualClock()))["nodes"]],
    "documented": "`memused`" in fields_page.page(),
}))
"""


def test_one_row_in_one_file_is_all_that_a_field_takes(tmp_path):
    for package in ("collectors", "console", "themes", "widgets"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    path = tmp_path / "console/fields/node_fields.py"
    before = path.read_text(encoding="utf-8")
    assert "memory_alloc_mb" not in before and before.count(LAST) == 1
    path.write_text(before.replace(LAST, ROW + LAST), encoding="utf-8")
    ended = subprocess.run([sys.executable, "-c", SCRIPT], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout) == {
        "file": str(tmp_path / "console/__init__.py"),
        "title": "mem used",
        "cells": ["2.0 GB", "512 GB", "—"],
        "found": ["n2"],
        "completed": ["memused>"],
        "order": ["n2", "n1", "n3"],
        "exported": [2048, 524288, None],
        "snapshot": [2048, 524288, None],
        "documented": True,
    }


@pytest.mark.parametrize(
    ("fields", "columns", "snapshot"),
    [(NODE_FIELDS, NODES, NODE_SNAPSHOT), (JOB_FIELDS, JOBS, JOB_SNAPSHOT), (PARTITION_FIELDS, PARTITIONS, None),
     (RESERVATION_FIELDS, RESERVATIONS, None)],
    ids=FIELDS,
)  # fmt: skip
def test_no_two_rows_have_the_same_key(fields, columns, snapshot):
    assert len(columns) == sum(one.column is not None for one in fields)
    assert len({one.name for one in fields}) == len(fields)
    if snapshot is not None:
        assert len(snapshot) == sum(len(one.snapshot) for one in fields)
