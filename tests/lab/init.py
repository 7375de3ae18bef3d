"""Process 1 of a lab: reap what the daemons leave, and end all of it when the owner goes away.

Runs on the host's Python inside fresh pid, mount and uts namespaces: when this process ends, the kernel kills every
process of the lab, whatever it is, and the mounts go with the namespace. It ends on SIGTERM or, unless told to stay,
when its standard input closes, which happens too when the owner is killed with SIGKILL.

usage: init.py ROOT PLACE HOST owned|stays
"""

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys


def main() -> None:
    """Prepare the namespace, say `ready PID` (the pid as the host sees it), then reap until the end."""
    root, place, host, mode = sys.argv[1:]
    seen_from_host = os.readlink("/proc/self")  # noqa: PTH115 - /proc is still the host's
    subprocess.run(["mount", "-t", "proc", "proc", f"{root}/proc"], check=True)
    with open("/proc/sys/kernel/hostname", "w") as name:  # noqa: PTH123 - every import delays the start
        name.write(host)
    wake, poke = os.pipe()
    os.set_blocking(poke, False)
    signal.set_wakeup_fd(poke, warn_on_full_buffer=False)
    ending: list[int] = []
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda number, _: ending.append(number))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    print(f"ready {seen_from_host}", flush=True)
    os.close(1)
    watched = [wake, 0] if mode == "owned" else [wake]
    while not ending:
        readable, _, _ = select.select(watched, [], [])
        if 0 in readable and not os.read(0, 4096):
            break
        if wake in readable:
            os.read(wake, 4096)
        _reap(os.WNOHANG)
    with contextlib.suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)
    _reap(0)
    shutil.rmtree(root + place, ignore_errors=True)


def _reap(flags: int) -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, flags)[0]:
            pass


main()
