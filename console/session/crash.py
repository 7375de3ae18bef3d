"""Crash handling: a report for the developer and one plain message for the user.

Reports are files of mode 0600 in `$XDG_STATE_HOME/wacht/crashes`; the newest `KEPT` are kept. A report holds places in
the code and versions but no values: no locals, and no message composed from facts. The message goes to stderr after the
terminal is restored. Writing and reading have a deadline, because a hanging home directory may be the cause.
"""

from __future__ import annotations

import os
import platform
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from collectors import files
from collectors.clean import clean
from collectors.redaction import redact
from console import __version__
from console.config.paths import state_folder
from console.journal import writer
from console.journal.writer import JournalFault
from console.runtime import log

#: Number of reports kept; a new one replaces the oldest.
KEPT = 10
DEADLINE_S = 3.0
#: Limits of a report: errors, exceptions in a chain, and frames at each end of a deep traceback.
_ERRORS, _CHAIN, _FRAMES = 5, 8, 25
_LARGEST = 256 << 10
_PACKAGES = ("textual", "rich", "msgspec", "click", "ClusterShell", "prometheus-api-client", "requests", "httpx",
             "nvidia-ml-py", "pyslurm")  # fmt: skip
#: The interpreter's own messages of these types name types and attributes but hold no values.
_VALUE_FREE = (AttributeError, TypeError, NameError, UnboundLocalError, ImportError, ModuleNotFoundError, IndexError,
           ZeroDivisionError, RecursionError)  # fmt: skip


def crash_message(errors: Sequence[BaseException], what: str, journal: Path | None = None, wrote: bool = False) -> str:
    """Write the report of these errors, first error first, and return the message for the user.

    `what` names what ended; `journal` is the journal's path, and `wrote` is whether anything was to be written there.
    Blocks for twice DEADLINE_S at most. Never raises.
    """
    brief = where(errors[0])
    text = report(errors)
    kept = save_report(text, f"an error of its own ended {what}: {brief}")
    sent = "nothing was sent to the machine" if journal is not None and not wrote else "see: wacht journal show"
    if journal is not None and wrote:
        sent = _within(lambda: _sent(journal), "the journal does not answer; syslog has its lines too")
    lines = [
        f"wacht: an error of its own ended {what}: {brief}",
        f"  report (versions and places in the program, no data of the cluster): {kept}",
        f"  what was sent: {sent}",
        "  what to do: start wacht again, and give the report to whoever looks after it",
    ]
    if not kept.startswith("/"):
        lines += ["", text]
    return "\n".join(clean(redact(line)) for part in lines for line in part.split("\n")) + "\n"


def save_report(text: str, brief: str) -> str:
    """Save a report and log it. Returns its path, or why it was not saved. Blocks for DEADLINE_S at most."""
    kept = _within(lambda: write_report(text), f"the file system did not answer in {DEADLINE_S:g} s")
    log.error("wacht", f"{brief}; report: {kept}")
    return kept


def report(errors: Sequence[BaseException]) -> str:
    """The report: versions, and the origin of each error."""
    lines = [
        "wacht crash report: places in the program, no values",
        f"at: {datetime.now(UTC).isoformat(timespec='seconds')}",
        f"wacht: {__version__}",
        f"python: {platform.python_version()} on {platform.system()} {platform.release()} {platform.machine()}",
        f"packages: {', '.join(_versions())}",
        f"terminal: {clean(os.environ.get('TERM', 'unknown'))[:40]}",
    ]
    for error in errors[:_ERRORS]:
        lines += ["", *_lines(error, _CHAIN)]
    if len(errors) > _ERRORS:
        lines += ["", f"and {len(errors) - _ERRORS} more"]
    return "\n".join(clean(redact(line)) for line in lines)[:_LARGEST] + "\n"


def write_report(text: str) -> str:
    """Write a report to a new file and return its path. Raises OSError, Unfit."""
    folder = state_folder() / "crashes"
    stem = f"crash-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{os.getpid()}"
    for name in (f"{stem}.txt", f"{stem}-{time.monotonic_ns()}.txt"):
        try:
            fd = files.open_new(folder / name)
        except FileExistsError:
            continue
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            file.write(text)
        for old in sorted(folder.glob("crash-*.txt"))[:-KEPT]:
            old.unlink(missing_ok=True)
        return str(folder / name)
    raise FileExistsError(f"{folder} has a report of this moment already")


def where(error: BaseException) -> str:
    """An error in one line: its type, and the last place in wacht's code that it passed."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if _short(frame.filename).startswith(_OURS)]
    last = (own or frames)[-1:]
    at = "".join(f" in {_short(frame.filename)}:{frame.lineno} ({frame.name})" for frame in last)
    return f"{_type_name(error)}{at}"


_OURS = ("console/", "widgets/", "collectors/", "themes/")


def _lines(error: BaseException, most: int) -> Iterator[str]:
    """The lines of an error with its frames, then its causes."""
    seen: set[int] = set()
    one: BaseException | None = error
    how = ""
    while one is not None and id(one) not in seen and len(seen) < most:
        seen.add(id(one))
        yield f"{how}{_type_name(one)}: {_message(one)}"
        frames = traceback.extract_tb(one.__traceback__)
        gap = max(0, len(frames) - 2 * _FRAMES)
        for number, frame in enumerate(frames):
            if gap and number == _FRAMES:
                yield f"    … {gap} more …"
            if number < _FRAMES or number >= _FRAMES + gap:
                yield f"  {_short(frame.filename)}:{frame.lineno} in {frame.name}"
                yield f"    {frame.line or ''}"
        if isinstance(one, BaseExceptionGroup) and most > 1:
            for inner in one.exceptions[:_ERRORS]:
                yield from (f"  | {line}" for line in _lines(inner, most // 2))
        # Textual wraps an error raised by a worker.
        wrapped = getattr(one, "error", None)
        if isinstance(wrapped, BaseException):
            one, how = wrapped, "of: "
        elif one.__cause__ is not None:
            one, how = one.__cause__, "caused by: "
        else:
            one, how = (None if one.__suppress_context__ else one.__context__), "while handling: "


def _type_name(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _message(error: BaseException) -> str:
    """The part of an error's message that may be shown: the interpreter's own text, or the text of an errno."""
    frames = traceback.extract_tb(error.__traceback__)
    composed = bool(frames) and (frames[-1].line or "").startswith("raise ")
    if type(error) in _VALUE_FREE and not composed:
        return str(error)[:200]
    if isinstance(error, OSError) and error.errno is not None:
        return os.strerror(error.errno)
    return "(its message is left out: it may hold data of the cluster)"


def _short(path: str) -> str:
    """A file of the program, without the folder where it is installed."""
    roots = (Path(__file__).parent.parent, *(Path(one) for one in sys.path if one))
    for root in sorted(roots, key=lambda one: -len(str(one))):
        if path.startswith(f"{root}/"):
            return path[len(str(root)) + 1 :]
    return Path(path).name


def _versions() -> Iterator[str]:
    from importlib import metadata  # imported late: a normal start must not pay for it

    for name in _PACKAGES:
        try:
            yield f"{name} {metadata.version(name)}"
        except metadata.PackageNotFoundError:
            yield f"{name} -"


def _sent(journal: Path) -> str:
    """What the journal holds of this process. Raises JournalFault."""
    mine = writer.of_this_process(journal)
    if not mine:
        return f"not to be seen in {journal}; what could not be written there syslog has (grep wacht)"
    left = [one.plan for one in mine if one.orphan]
    text = f"{len(mine)} action{'s' if len(mine) != 1 else ''}, in {journal} (wacht journal show)"
    if left:
        text += f"; without a result: {', '.join(left)}: the next start offers to read them back"
    return text


def _within(call: Callable[[], str], late: str) -> str:
    """The result of a call that may hang; the reason when it hangs or fails."""
    found = [late]

    def run() -> None:
        try:
            found[0] = call()
        except OSError as error:
            found[0] = f"not written: {error.strerror or error}"
        except (files.UntrustedFile, JournalFault, RuntimeError) as error:
            found[0] = f"not written: {error}"
        except Exception as error:
            found[0] = f"not written: {type(error).__name__}"

    thread = threading.Thread(target=run, name="crash", daemon=True)
    thread.start()
    thread.join(DEADLINE_S)
    return found[0]
