"""A TOML file that a person wrote: read with suspicion, and able to say in which line a key of it stands.

The configuration and the XID policy are such files. Errors name file, line, key and what is allowed there.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from collectors import files

from .errors import UserError

LARGEST = 1 << 20


class ConfigError(UserError):
    """A file that cannot be used; the text is for the person who mends it."""


class TomlFile:
    """One file: its text, to find lines in, and its table. One that may be missing is empty then.

    `ours` is a file that ships with the program: who could change it could change the program.
    """

    def __init__(self, path: Path, may_be_missing: bool = False, ours: bool = False) -> None:
        self.path = path
        self.text = ""
        self.table: dict[str, Any] = {}
        self.found = True
        try:
            raw = files.read(path, LARGEST, None if ours else files.TRUSTED)
        except (FileNotFoundError, NotADirectoryError) as error:
            if may_be_missing:
                self.found = False
                return
            raise ConfigError(f"{path}: {error.strerror}") from None
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}") from None
        except files.UntrustedFile as error:
            # Who can write it can name a prefix that runs as the operator.
            raise ConfigError(f"{path}: {error}") from None
        import tomllib  # where there is no file, a start does without it

        try:
            self.text = raw.decode("utf-8")
            self.table = tomllib.loads(self.text)
        except UnicodeDecodeError:
            raise ConfigError(f"{path}: is not UTF-8 text") from None
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{path}: {error}") from None

    def fail(self, table: str, key: str, what: str, nth: int = 0) -> ConfigError:
        """The error for one key, with its line; `nth` counts the tables of one name (`[[a.b]]`) from 0."""
        full = f"{table}.{key}" if table and key else (table or key)
        return ConfigError(f"{self.where(table, key, nth)}: {full}: {what}")

    def where(self, table: str, key: str, nth: int = 0) -> str:
        """Where a key stands: `FILE:LINE`."""
        line = line_of(self.text, table, key, nth)
        return f"{self.path}:{line}" if line else str(self.path)


def line_of(text: str, table: str, key: str, nth: int = 0) -> int | None:
    """Line of `key` of `table`, in whatever form it is written: under its head, dotted, or in an inline table."""
    wanted = ".".join(part for part in (table, key) if part)
    here, head, same = "", None, -1
    for number, line in enumerate(text.splitlines(), 1):
        opened = re.match(r"\s*\[+([^\]]+)\]", line)
        written = re.match(r"\s*([A-Za-z0-9_.\"' ,-]+?)\s*=", line)
        if opened:
            here = _bare(opened[1]) + "."
            same += here == f"{table}."
            if wanted.startswith(here) or here.startswith(f"{wanted}."):
                head = number if same <= nth else head
        elif written and f"{wanted}.".startswith(f"{here}{_bare(written[1])}.") and max(0, same) == nth:
            return number
        elif written and not here.startswith(f"{wanted}.") and f"{here}{_bare(written[1])}.".startswith(f"{wanted}."):
            head = number  # a dotted key of what is wanted
    return head


def _bare(key: str) -> str:
    """A key as TOML means it: without quotes, and without blanks around the dots."""
    return ".".join(part.strip(" \"'") for part in key.split("."))
