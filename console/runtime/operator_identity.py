"""Who sits at the keyboard: the name that silences and the journal carry."""

from __future__ import annotations

import contextlib
import os
import pwd
from pathlib import Path


def login_name() -> str:
    """The login name. It survives sudo and su where the kernel keeps it; "uid 1234" for one that has no name."""
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
