"""The jobs screen: running and waiting jobs."""

from __future__ import annotations

from console.fields.job_fields import JOBS

from .layout.list_screen import ListScreen


class JobsScreen(ListScreen):
    """The job list."""

    crumb = "jobs"
    cluster_field = "jobs"
    source = "slurm.jobs"
    kind = acts_on = "job"
    columns = JOBS
    default_sort = ("id", True)

    def copy_text(self) -> str | None:
        """The command that shows the job under the cursor."""
        key = self.table.cursor_key
        return None if key is None else f"scontrol show job -d {key}"
