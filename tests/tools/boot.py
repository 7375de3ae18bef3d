"""The first lines of wacht.pyz: unpack once into a private folder, and go on from there. `pyz.py` fills in BUILT.

Compiled modules cannot be loaded out of an archive, so what it carries is unpacked: into ~/.cache/wacht, under the hash
of what it holds, where only this user can write; where there is no such place, into one that goes with the program.
An older Python must be able to read this file, to be told that it is too old.
"""
# No pathlib: it would cost every start.
# ruff: noqa: PTH102, PTH103, PTH104, PTH112, PTH118, PTH120, PTH208

import os
import stat
import sys

BUILT = {"key": "", "python": (0, 0), "platform": ""}


def ours(path, open_to):
    """Whether that is a folder of this user that nobody else may write to; `open_to` are the bits that must be off."""
    try:
        found = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & open_to


def shared_cache():
    """The folder for all that is unpacked, made if need be; None where there can be none."""
    cache = os.environ.get("XDG_CACHE_HOME", "")
    home = os.environ.get("HOME", "")
    if not cache.startswith("/"):
        cache = os.path.join(home, ".cache") if home.startswith("/") else ""
    if not cache:
        return None
    path = os.path.join(cache, "wacht")
    try:
        os.makedirs(cache, mode=0o700, exist_ok=True)
        if not os.path.isdir(path):
            os.mkdir(path, 0o700)
    except OSError:
        pass  # another start made it, or it cannot be made: the next line sees which
    return path if ours(path, 0o022) and os.access(path, os.W_OK) else None


def unpack(folder):
    """Write all files there, for this user only."""
    import io
    import zipfile

    made = {folder}
    with zipfile.ZipFile(io.BytesIO(__loader__.get_data("tree.zip"))) as tree:
        for one in tree.infolist():
            path = os.path.join(folder, one.filename)
            if os.path.dirname(path) not in made:
                os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
                made.add(os.path.dirname(path))
            out = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(out, "wb") as file:
                file.write(tree.read(one))


def sweep(kept):
    """Away with what starts left that were killed while they unpacked."""
    import shutil
    import time

    for name in os.listdir(kept):
        path = os.path.join(kept, name)
        try:
            old = name.startswith(".new-") and time.time() - os.lstat(path).st_mtime > 3600
        except FileNotFoundError:
            continue  # another start is just done with it
        if old:
            shutil.rmtree(path, ignore_errors=True)


def settled():
    """The folder with everything in it, and whether it goes with the program."""
    import shutil
    import tempfile

    kept = shared_cache()
    if kept is not None:
        try:
            sweep(kept)
            new = tempfile.mkdtemp(prefix=".new-", dir=kept)
        except OSError:
            kept = None
    if kept is None:
        new = tempfile.mkdtemp(prefix="wacht-")
    try:
        unpack(new)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    if kept is None:
        return new, True
    final = os.path.join(kept, "pyz-" + BUILT["key"])
    try:
        os.rename(new, final)  # whole or not at all, however many start at once
    except OSError:
        if not ours(final, 0o077):
            return new, True  # something else stands there, and is not touched
        shutil.rmtree(new, ignore_errors=True)
    return final, False


def start():
    """Run wacht from the unpacked folder."""
    here = f"{sys.platform}-{os.uname().machine}"
    if sys.implementation.name != "cpython" or sys.version_info[:2] != BUILT["python"] or here != BUILT["platform"]:
        major, minor = BUILT["python"]
        found = f"{sys.implementation.name} {sys.version_info[0]}.{sys.version_info[1]} on {here}"
        sys.stderr.write(f"wacht: this file is for CPython {major}.{minor} on {BUILT['platform']}; this is {found}.\n")
        sys.stderr.write("Run it with that Python, or take the file that is made for this one.\n")
        return 2
    kept = shared_cache()
    tree = kept and os.path.join(kept, "pyz-" + BUILT["key"])
    passing = False
    if not tree or not ours(tree, 0o077):
        umask = os.umask(0o077)
        try:
            tree, passing = settled()
        except OSError as error:
            sys.stderr.write(f"wacht: cannot unpack: {error}. Name a folder with 60 MB: XDG_CACHE_HOME=/path\n")
            return 2
        finally:
            os.umask(umask)
    sys.path[0] = tree  # in the place of this archive, before anything that a site or a user has
    try:
        from console.cli.main import main

        return main()
    finally:
        if passing:
            import shutil

            shutil.rmtree(tree, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(start())
