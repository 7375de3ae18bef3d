"""The flight recorder: the facts of a console in a bounded file, and their replay at any moment.

`row_codec` and `frame` encode the difference between two Clusters; `store` is the file, `recorder` writes it beside a
poller, `player` takes a poller's place; `cut` extracts an incident. Not here: the replay screens
(`console.app.replay_mode`).
"""

from __future__ import annotations
