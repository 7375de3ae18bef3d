"""A TOML file written by a user: checked for safe ownership, and able to give the line of each key.

Used for the configuration and the XID policy. Errors name the file, the line, the key and what is allowed.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from collectors import files

from .errors import UserError

LARGEST = 1 << 20


class ConfigError(UserError):
    """A file that cannot be used; the message is for the person who fixes it."""


class TomlFile:
    """One file: its text, for line numbers, and its table. Empty for an optional file that does not exist.

    `ours` marks a file shipped with the program, whose owner is trusted anyway.
    """

    def __init__(self, path: Path, may_be_missing: bool = False, ours: bool = False) -> None:
        self.path = path
        self.text = ""
        self.table: dict[str, Any] = {}
        self.found = True
        self.owner: int | None = None
        """The uid of its owner."""
        try:
            raw, self.owner = files.read_with_owner(path, LARGEST, None if ours else files.TRUSTED)
        except (FileNotFoundError, NotADirectoryError) as error:
            if may_be_missing:
                self.found = False
                return
            raise ConfigError(f"{path}: {error.strerror}") from None
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}") from None
        except files.UntrustedFile as error:
            # Whoever can write it can set a command prefix that runs as the operator.
            raise ConfigError(f"{path}: {error}") from None
        import tomllib  # imported late: a start without a file does not need it

        try:
            self.text = raw.decode("utf-8")
            self.table = tomllib.loads(self.text)
        except UnicodeDecodeError:
            raise ConfigError(f"{path}: is not UTF-8 text") from None
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{path}: {error}") from None

    def fail(self, table: str, key: str, what: str, nth: int = 0) -> ConfigError:
        """The error for one key, with its line; `nth` counts the tables of the same name (`[[a.b]]`) from 0."""
        full = f"{table}.{key}" if table and key else (table or key)
        return ConfigError(f"{self.where(table, key, nth)}: {full}: {what}")

    def where(self, table: str, key: str, nth: int = 0) -> str:
        """The place of a key: `FILE:LINE`."""
        line = line_of(self.text, table, key, nth)
        return f"{self.path}:{line}" if line else str(self.path)


def line_of(text: str, table: str, key: str, nth: int = 0) -> int | None:
    """The line of `key` in `table`, in any form: under a header, dotted, or in an inline table."""
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
            head = number  # a dotted key of the wanted table
    return head


def _bare(key: str) -> str:
    """A key in TOML's normal form: without quotes and without blanks around the dots."""
    return ".".join(part.strip(" \"'") for part in key.split("."))
