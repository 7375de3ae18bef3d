"""A lab's commands for programs that run as anybody: each is run here, as root, for whoever asks, and counted.

The wrappers of a lab enter its root, which only root may.
"""

from __future__ import annotations

import base64
import os
import socketserver
import subprocess
import threading
from collections import Counter
from pathlib import Path

from .slurm import COMMANDS, Lab

WHO = "SLURM_CONSOLE"
"""In the environment of a program: its name. The word passes through collectors.process, being Slurm's."""

_CLIENT = """#!/bin/bash
exec 3<>/dev/tcp/127.0.0.1/{port}
printf '%s\\0' "${who}" {command} "$@" | base64 -w0 >&3
echo >&3
IFS= read -r rc <&3
IFS= read -r err <&3
printf %s "$err" | base64 -d >&2
cat <&3
exit "$rc"
"""


class Counted:
    """Put `path` on PATH: the commands are those of the lab, and `started` says who has asked for which."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.bin = folder / "bin"
        self.bin.mkdir()
        self._asked: Counter[tuple[str, str]] = Counter()
        counted = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                who, command, *words = base64.b64decode(self.rfile.readline()).split(b"\0")[:-1]
                counted._asked[who.decode(), command.decode()] += 1
                argv = [os.fsencode(lab.bin_dir) + b"/" + command, *words]
                done = subprocess.run(argv, capture_output=True, check=False, timeout=60)
                self.wfile.write(b"%d\n%b\n%b" % (done.returncode, base64.b64encode(done.stderr), done.stdout))

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            request_queue_size = 64

        self._server = Server(("127.0.0.1", 0), Handler)
        for command in COMMANDS:
            path = self.bin / command
            path.write_text(_CLIENT.format(port=self._server.server_address[1], who=WHO, command=command))
            path.chmod(0o755)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def path(self) -> str:
        """For PATH."""
        return f"{self.bin}:/usr/bin:/bin"

    def started(self, who: str, *commands: str) -> int:
        """How many of these commands, of all by default, that program has started."""
        return sum(count for (one, what), count in self._asked.items() if one == who and what in (commands or COMMANDS))

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()
