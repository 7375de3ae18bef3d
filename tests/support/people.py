"""Keeps the accounts of this machine out of tests, which have their own (uid 1001 is jdv's, 12345 is no account)."""

from __future__ import annotations

import os
import pwd

#: The people of this machine: the range of uids that login.defs has for them, but for who runs the tests.
_PEOPLE = frozenset(range(1000, 60_001)) - {os.getuid(), os.geteuid()}
_by_uid, _by_name = pwd.getpwuid, pwd.getpwnam


def _own_uid(uid: int) -> pwd.struct_passwd:
    if uid in _PEOPLE:
        raise KeyError(f"getpwuid(): uid not found: {uid}")
    return _by_uid(uid)


def _own_name(name: str) -> pwd.struct_passwd:
    found = _by_name(name)
    if found.pw_uid in _PEOPLE:
        raise KeyError(f"getpwnam(): name not found: {name!r}")
    return found


def keep_out() -> None:
    """Let lookups of accounts find none of these people."""
    pwd.getpwuid, pwd.getpwnam = _own_uid, _own_name
