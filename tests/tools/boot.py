"""The start of wacht.pyz: unpack once into a private folder, and run from there. `pyz.py` fills in BUILT.

Compiled modules cannot be imported from an archive, so its content is unpacked into ~/.cache/wacht, under its hash,
where only this user can write; without such a folder into a temporary one that is removed at exit. Older versions of
Python must be able to parse this file, to report that they are too old.
"""
# No pathlib: importing it would slow down every start.
# ruff: noqa: PTH102, PTH103, PTH104, PTH112, PTH118, PTH120, PTH208

import os
import stat
import sys

BUILT = {"key": "", "python": (0, 0), "platform": ""}


def is_private_folder(path, forbidden_bits):
    """True for a folder of this user without any of the permission bits `forbidden_bits`."""
    try:
        found = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & forbidden_bits


def cache_folder():
    """The cache folder, created if need be; None if there can be none."""
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
        pass  # another start created it, or it cannot be created: checked below
    return path if is_private_folder(path, 0o022) and os.access(path, os.W_OK) else None


def unpack(folder):
    """Unpack all files into the folder, for this user only."""
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


def remove_leftovers(cache_dir):
    """Remove partly unpacked folders of starts that were killed."""
    import shutil
    import time

    for name in os.listdir(cache_dir):
        path = os.path.join(cache_dir, name)
        try:
            old = name.startswith(".new-") and time.time() - os.lstat(path).st_mtime > 3600
        except FileNotFoundError:
            continue  # another start has just finished with it
        if old:
            shutil.rmtree(path, ignore_errors=True)


def unpacked_folder():
    """The unpacked folder, and whether it is temporary."""
    import shutil
    import tempfile

    cache_dir = cache_folder()
    if cache_dir is not None:
        try:
            remove_leftovers(cache_dir)
            new = tempfile.mkdtemp(prefix=".new-", dir=cache_dir)
        except OSError:
            cache_dir = None
    if cache_dir is None:
        new = tempfile.mkdtemp(prefix="wacht-")
    try:
        unpack(new)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    if cache_dir is None:
        return new, True
    final = os.path.join(cache_dir, "pyz-" + BUILT["key"])
    try:
        os.rename(new, final)  # atomic, with several starts at once
    except OSError:
        if not is_private_folder(final, 0o077):
            return new, True  # something else has this name, and is left alone
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
    cache_dir = cache_folder()
    tree = cache_dir and os.path.join(cache_dir, "pyz-" + BUILT["key"])
    temporary = False
    if not tree or not is_private_folder(tree, 0o077):
        umask = os.umask(0o077)
        try:
            tree, temporary = unpacked_folder()
        except OSError as error:
            sys.stderr.write(f"wacht: cannot unpack: {error}. Name a folder with 60 MB: XDG_CACHE_HOME=/path\n")
            return 2
        finally:
            os.umask(umask)
    sys.path[0] = tree  # replaces this archive, before any other path
    try:
        from console.cli.main import main

        return main()
    finally:
        if temporary:
            import shutil

            shutil.rmtree(tree, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(start())
