"""`wacht act` on the small world, at a terminal or without one."""

from __future__ import annotations

import io
import json

from console.cli.act import run_act


class Terminal:
    """Runs `wacht act` on the small world; `types` are the lines a person would type, None without a terminal."""

    def __init__(self, world) -> None:
        self.world = world
        self.asked: list[str] = []

    def __call__(self, action: str, *words: str, types: str | None = None, gate: dict | None = None,
                 on: type[io.StringIO] = io.StringIO, **options) -> int:  # fmt: skip
        self.out, self.err = on(), io.StringIO()

        def ask(question: str) -> str:
            self.asked.append(question)
            return types or ""

        return run_act(
            self.world.gate(**(gate or {})), self.world.cluster(), action, words, out=self.out, err=self.err,
            ask=None if types is None else ask, sleep=self.world.clock.advance, **options,
        )  # fmt: skip

    @property
    def told(self) -> dict:
        return json.loads(self.out.getvalue())
