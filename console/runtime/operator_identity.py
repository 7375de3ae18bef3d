"""The person at the keyboard, as named in silences and the journal."""

from __future__ import annotations

import contextlib
import os
import pwd
from pathlib import Path


def login_name() -> str:
    """The login name. The kernel's login uid survives sudo and su; "uid 1234" for an account without a name."""
    login = os.environ.get("SUDO_USER") or os.environ.get("LOGNAME")
    with contextlib.suppress(OSError, ValueError, KeyError):
        uid = int(Path("/proc/self/loginuid").read_text())
        if uid != 0xFFFFFFFF:
            login = pwd.getpwuid(uid).pw_name
    if not login:
        try:
            login = pwd.getpwuid(os.getuid()).pw_name
        except KeyError:
            login = f"uid {os.getuid()}"
    return login
