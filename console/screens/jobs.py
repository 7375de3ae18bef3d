"""The jobs screen: running and waiting jobs, trouble first, the tasks of an array on one line until it is unfolded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from msgspec import structs
from textual.binding import Binding, BindingType

from collectors.model import Cluster, Job
from console.actions.action import Kind
from console.fields.job_fields import JOBS
from console.queue.job_arrays import JobArray, array_key, endangered, fold_arrays, tasks_of, urgency
from widgets.key_bar import KeyHint
from widgets.table_view import SortKey, TableView, arrange

from .layout.list_screen import ListScreen


class JobRows(dict[str, Job]):
    """The rows of the table by key: jobs, folded arrays, and the tasks of unfolded ones."""

    def __init__(self, folded: Mapping[str, Job], unfolded: frozenset[str], lost: frozenset[str]) -> None:
        """`unfolded` are the keys of arrays, `lost` the ids of jobs to be shown first."""
        super().__init__(folded)
        self.folded = folded
        """The rows without tasks, as they are sorted."""
        self.tasks = {key: row.tasks for key in unfolded if isinstance(row := folded.get(key), JobArray)}
        """Key of each unfolded array to its tasks."""
        for key, tasks in self.tasks.items():
            self[key] = structs.replace(folded[key], is_open=True)
            self.update((task.id, task) for task in tasks)
        self.first = {job if job in folded else array_key(job) for job in lost}


class JobView(TableView[Job]):
    """A view in which the tasks of an unfolded array follow it, whatever the sort."""

    __slots__ = ("folded",)

    def __init__(self, rows: JobRows, by: SortKey, folded: TableView[Job], keys: Sequence[str]) -> None:
        """`folded` is the view of the rows without tasks, whose sort values are used for the next view."""
        super().__init__(rows, by, folded.values, keys, len(keys))
        self.folded = folded

    def index(self, key: str) -> int | None:
        """The position of a key; None where it is absent."""
        if self.keys is self.folded.keys:
            return self.folded.index(key)
        return self.keys.index(key) if key in self.rows else None


def arrange_jobs(rows: Mapping[str, Job], by: SortKey, before: TableView[Job] | None) -> TableView[Job]:
    """Sort the rows of the table; without a column: trouble first."""
    if not isinstance(rows, JobRows):
        return arrange(rows, by, before)
    how = SortKey(urgency) if by.sort is None else by
    folded = arrange(rows.folded, how, before.folded if isinstance(before, JobView) else None)
    keys = folded.keys
    if by.sort is None and rows.first:
        keys = [key for key in keys if key in rows.first] + [key for key in keys if key not in rows.first]
    if rows.tasks:
        keys = [key for top in keys for key in (top, *(task.id for task in rows.tasks.get(top, ())))]
    return JobView(rows, by, folded, keys)


class _Alive:
    """Whether the job or array of a key exists, though a filter may hide it."""

    def __init__(self, jobs: Mapping[str, Job]) -> None:
        self._jobs = jobs

    def __contains__(self, key: object) -> bool:
        if key in self._jobs or not isinstance(key, str) or not key.endswith("_*"):
            return key in self._jobs
        base = key.removesuffix("*")
        return any(job.startswith(base) for job in self._jobs)


class JobsScreen(ListScreen):
    """The job list."""

    crumb = "jobs"
    cluster_field = "jobs"
    source = "slurm.jobs"
    kind = acts_on = "job"
    columns = JOBS
    joins = frozenset({"nodes"})
    sums = (endangered,)
    given_order = "trouble first"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("plus", "unfold", "Unfold an array", show=False),
        Binding("minus", "fold", "Fold an array", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._unfolded: frozenset[str] = frozenset()
        """Keys of the arrays whose tasks are shown."""

    def view_inputs(self, cluster: Cluster) -> tuple[object, ...]:
        """What the rows of the table depend on beside the jobs."""
        return (endangered(cluster), self._unfolded)

    def table_rows(self, cluster: Cluster, rows: Mapping[str, Any]) -> Mapping[str, Any]:
        """The jobs with folded arrays."""
        made = self._prepared.view.rows if self._prepared is not None else None
        unfolded = self._unfolded
        folded = fold_arrays(rows, made.folded if isinstance(made, JobRows) else None)
        return JobRows(folded, unfolded, endangered(cluster))

    def arranged(self, rows: Mapping[str, Any], by: SortKey, before: TableView[Any] | None) -> TableView[Any]:
        """Trouble first, or by a column; tasks follow their array."""
        return arrange_jobs(rows, by, before)

    def alive(self) -> Any:
        """The keys of all jobs and arrays."""
        return _Alive(self.rows())

    def jobs_of(self, key: str) -> tuple[str, ...]:
        """The jobs of a row: the tasks of an array that are shown, of a hidden one all, else itself."""
        row = self.table.row_of(key)
        return row.task_ids if isinstance(row, JobArray) else tasks_of(key, self.rows()) or (key,)

    def targets(self, kind: Kind) -> tuple[str, ...]:
        """The marked jobs, an array standing for its tasks that are shown; else those under the cursor."""
        names = super().targets(kind)
        if len(names) == 1:
            return self.jobs_of(names[0])
        return tuple(dict.fromkeys(job for name in names for job in self.jobs_of(name)))

    def sample_targets(self, kind: Kind) -> Sequence[str]:
        """Of each array that is shown a task of each kind; otherwise as `targets`."""
        found: list[str] = []
        for name in super().targets(kind):
            row = self.table.row_of(name)
            found.extend((task.id for task in row.samples) if isinstance(row, JobArray) else self.jobs_of(name))
        return found

    def selected_job(self) -> str | None:
        """The job for `:log` without an id; None for an array."""
        names = super().targets("job")
        return names[0] if len(names) == 1 and names[0] in self.rows() else None

    def shown_jobs(self) -> frozenset[str]:
        """Jobs on the visible page, and marked ones."""
        return frozenset(key for key in super().shown_jobs() if key in self.rows())

    def exported(self) -> tuple[Sequence[str], Mapping[str, Any]]:
        """The jobs to be exported: programs get each task of a folded array."""
        keys, rows = super().exported()
        jobs: dict[str, Job] = {}
        for key in keys:
            row = rows[key]
            jobs.update((job.id, job) for job in (row.tasks if isinstance(row, JobArray) else (row,)))
        return tuple(jobs), jobs

    def copy_text(self) -> str | None:
        """The command that shows the job under the cursor."""
        key = self.table.cursor_key
        return None if key is None else f"scontrol show job -d {key.removesuffix('_*')}"

    def keys(self) -> Sequence[KeyHint]:
        """The keys of a list, and those of an array."""
        row = self._array_at_cursor()
        own = () if row is None else (KeyHint("-", "fold") if row.is_open else KeyHint("+", "unfold"),)
        return (*own, *super().keys())

    def open_row(self, key: str) -> None:
        """Enter: unfold or fold an array; open the inspection of a job."""
        row = self._array_at_cursor()
        if row is None:
            super().open_row(key)
        elif row.is_open:
            self.action_fold()
        else:
            self.action_unfold()

    def action_unfold(self) -> None:
        """Key `+`: show the tasks of the array under the cursor, one a line."""
        if self._array_at_cursor() is None:
            self.app.show_message("this unfolds an array of jobs: put the cursor on one")
        elif (key := self.table.cursor_key) is not None and key not in self._unfolded:
            self._fold(self._unfolded | {key})

    def action_fold(self) -> None:
        """Key `-`: fold the array under the cursor; elsewhere go to the previous view, as on all screens."""
        key = array_key(self.table.cursor_key or "")
        if key not in self._unfolded or self.table.row_of(key) is None:
            self.app.navigation.go_back()
            return
        self.table.select(key)
        self._fold(self._unfolded - {key})

    def _fold(self, unfolded: frozenset[str]) -> None:
        self._unfolded = unfolded
        self._show_rows()
        self.refresh_keys()

    def _array_at_cursor(self) -> JobArray | None:
        row = self.table.row_of(self.table.cursor_key or "")
        return row if isinstance(row, JobArray) else None
