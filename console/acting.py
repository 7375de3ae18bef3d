"""Acting from the console: stub until the gate is wired."""
from __future__ import annotations
from collections.abc import Mapping, Sequence
from typing import Any

class Acting:
    def open_gate(self, site: Any, config: Any) -> None:
        self._pending: dict[str, dict[str, str]] = {"node": {}, "job": {}}
    def pending_words(self, kind: str) -> Mapping[str, str]:
        return self._pending[kind]
    def verify(self, cluster: Any) -> None: ...
    def why_not(self, action_id: str) -> str | None:
        return None
    def action_act(self, action_id: str) -> None: ...
    def act_on_words(self, action_id: str, words: Sequence[str]) -> None: ...
