"""The flight recorder: what a console knew, kept in a bounded file, and played again at any moment.

`table` and `frame` turn what changed between two Clusters into bytes and back; `store` is the file; `recorder` writes
it beside a poller, `player` stands in a poller's place; `cut` takes an incident out for somebody else.
"""

from __future__ import annotations
