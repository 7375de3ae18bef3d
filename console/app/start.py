"""Starts the console, and reports how it ended."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence

from console.config.settings import Config
from console.recording.location import recording_target
from console.session.cluster_sources import ClusterSources

from .app import WachtApp


def run(sources: ClusterSources, config: Config, node: str | None = None, others: Sequence[ClusterSources] = ()) -> int:
    """Run the console until the user quits; with `node`, start on its inspection. Returns the exit code."""
    # Poller threads process 100,000 rows. With the default of 5 ms the event loop would wait too long for its turn.
    sys.setswitchinterval(0.001)
    app = WachtApp(sources, config, node=node, others=others)
    app.session.records = recording_target(sources, config.recording)
    threading.excepthook = app.thread_died
    fatal = app.errors
    try:
        app.run()
    except Exception as error:
        fatal.append(error)
    finally:
        app.release_terminal()
        app.stop_reading()
    if fatal:
        from console.session import crash

        session = next((one for one in app.fleet.sessions.values() if one.wrote), app.session)
        sys.stderr.write(crash.crash_message(fatal, "the console", session.journal_path, session.wrote))
        return 1
    return app.return_code or 0
