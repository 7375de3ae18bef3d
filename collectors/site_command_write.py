"""Runs the command of a site's own action, and nothing else. Only `console.gate.gate` may import this; a test enforces
it."""

from __future__ import annotations

import getpass
from collections.abc import Sequence

from . import process
from .clean import clean
from .model import Change, Sent, SourceFault
from .site_command import Template, calls, output_lines


class TemplateWriter:
    """Runs one command for each target in sequence, each with its deadline. Only its exit code is known."""

    def __init__(self, cluster: str, template: Template) -> None:
        self._cluster, self._template = cluster, template

    def commands(self, change: Change) -> Sequence[tuple[str, ...]]:
        """Exactly what `send` runs. Raises ValueError."""
        return calls(self._template, change, self._cluster, _user())

    def send(self, change: Change) -> Sequence[Sent]:
        """Run them, stopping after a command without a result: the next would fail the same way."""
        ended: list[Sent] = []
        for target, argv in zip(change.targets, self.commands(change), strict=True):
            ended.append(self._one(target, argv))
            if ended[-1].rc is None or ended[-1].fatal:
                break
        return tuple(ended)

    def _one(self, target: str, argv: tuple[str, ...]) -> Sent:
        try:
            ended = process.run(argv, deadline_s=self._template.deadline_s, cap_bytes=1 << 20, spared=True)
        except SourceFault as error:
            text = str(error.fault)
            return Sent(argv=argv, targets=(target,), rc=127, err=text, refused={target: text}, fatal=True)
        said = ended.err.split("\\n")[0][:300]
        out = output_lines(ended.out)
        if ended.timed_out or ended.capped:
            why = f"no answer in {self._template.deadline_s:g} s; it may have been done. {said}".strip()
            return Sent(argv=argv, targets=(target,), rc=None, err=why, out=out, took_s=ended.took_s)
        refused = {target: f"exit status {ended.rc}{f': {said}' if said else ''}"} if ended.rc else {}
        return Sent(
            argv=argv, targets=(target,), rc=ended.rc, err=ended.err, out=out, took_s=ended.took_s, refused=refused
        )  # fmt: skip


def _user() -> str:
    try:
        return clean(getpass.getuser())
    except (OSError, KeyError):
        return ""


def open_writer(cluster: str, template: Template) -> TemplateWriter:
    """The writer of one action of a site's own."""
    return TemplateWriter(cluster, template)
