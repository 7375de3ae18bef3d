"""`make pyz`: wacht and its locked dependencies in one file that runs without network and installation.

    python -m tests.tools.pyz WHEEL FOLDER

writes into FOLDER `wheels/`, for `pip install --no-index --find-links`, and `wacht-VERSION-cp311-linux_x86_64.pyz` for
the Python and the platform that run this. The same wheels give the same bytes. The package index is needed once, for
the wheels; each is checked against the hashes of requirements.lock.
"""

from __future__ import annotations

import compileall
import hashlib
import io
import os
import py_compile
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from email.parser import HeaderParser
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.paths import ROOT

BOOT = Path(__file__).with_name("boot.py")
#: A pin of the lock file with its hashes.
_PIN = re.compile(r"^([a-z0-9-]+)==[^\n]+\\\n(?:    --hash=[^\n]+\n)+", re.M)
PLATFORM = f"{sys.platform}-{os.uname().machine}"


def dependencies(asked: list[str]) -> set[str]:
    """All distributions that these requirements and their extras need in this environment."""
    found: set[tuple[str, str]] = set()
    todo = [(Requirement(text), "") for text in asked]
    while todo:
        one, extra = todo.pop()
        if one.marker and not one.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(one.name)
        for wanted in {"", *one.extras} - {done for other, done in found if other == name}:
            found.add((name, wanted))
            todo += [(Requirement(text), wanted) for text in distribution(name).requires or ()]
    return {name for name, _ in found}


def lock_lines(names: set[str]) -> str:
    """The lines of the lock file for these distributions."""
    pins = [pin for pin in _PIN.finditer((ROOT / "requirements.lock").read_text()) if pin[1] in names]
    missing = names - {pin[1] for pin in pins}
    if missing:
        raise SystemExit(f"not in requirements.lock: {', '.join(sorted(missing))}; make lock")
    return "".join(pin[0] for pin in pins)


def requirements(wheel: Path) -> list[str]:
    """The requirements of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (one for one in archive.namelist() if one.endswith(".dist-info/METADATA"))
        return HeaderParser().parsestr(archive.read(name).decode()).get_all("Requires-Dist", [])


def collect_wheels(wheel: Path, wheels: Path) -> None:
    """Fill the folder with this wheel and wheels of all its dependencies."""
    shutil.rmtree(wheels, ignore_errors=True)
    wheels.mkdir(parents=True)
    (wheels / "requirements.txt").write_text(lock_lines(dependencies(requirements(wheel))))
    pip = [sys.executable, "-m", "pip", "--quiet", "wheel", "--no-deps", "--require-hashes"]
    subprocess.run([*pip, "--wheel-dir", wheels, "--requirement", wheels / "requirements.txt"], check=True)
    shutil.copy(wheel, wheels)


def unpack_wheel(wheel: Path, tree: Path) -> None:
    """Unpack the part of a wheel that goes into site-packages; no scripts, no manual pages."""
    with zipfile.ZipFile(wheel) as archive:
        for one in archive.infolist():
            top, _, below = one.filename.partition("/")
            kind, _, inner = below.partition("/") if top.endswith(".data") else ("purelib", "", one.filename)
            if one.is_dir() or kind not in {"purelib", "platlib"}:
                continue
            path = tree / inner
            if not path.resolve().is_relative_to(tree.resolve()):
                raise SystemExit(f"{wheel.name} holds {one.filename}, which lies outside")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(archive.read(one))


def zip_bytes(files: Iterator[tuple[str, bytes]], method: int) -> bytes:
    """A reproducible zip: without times and owners."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method, compresslevel=9) as archive:
        for name, content in files:
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.external_attr, entry.compress_type = 0o600 << 16, method
            archive.writestr(entry, content)
    return made.getvalue()


def build_archive(tree: Path) -> bytes:
    """The content of the .pyz file for a site-packages folder."""
    paths = sorted(path for path in tree.rglob("*") if path.is_file())
    inner = zip_bytes(((str(path.relative_to(tree)), path.read_bytes()) for path in paths), zipfile.ZIP_DEFLATED)
    built = {"key": hashlib.sha256(inner).hexdigest()[:32], "python": sys.version_info[:2], "platform": PLATFORM}
    boot = re.sub(r"^BUILT = .*$", lambda _: f"BUILT = {built!r}", BOOT.read_text(), count=1, flags=re.M)
    outer = zip_bytes(iter([("__main__.py", boot.encode()), ("tree.zip", inner)]), zipfile.ZIP_STORED)
    return b"#!/usr/bin/env python%d.%d\n" % sys.version_info[:2] + outer


def compile_tree(tree: Path) -> None:
    """Compile all modules unchecked: a start neither compiles nor compares times of sources."""
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    compileall.compile_dir(tree, quiet=2, stripdir=str(tree), invalidation_mode=mode)


def main(wheel: Path, folder: Path) -> Path:
    """Build the wheels and the .pyz file. Returns the latter."""
    collect_wheels(wheel, folder / "wheels")
    tag = f"cp{sys.version_info[0]}{sys.version_info[1]}-{PLATFORM.replace('-', '_')}"
    out = folder / f"{'-'.join(wheel.name.split('-')[:2])}-{tag}.pyz"
    with tempfile.TemporaryDirectory() as tree:
        for one in sorted((folder / "wheels").glob("*.whl")):
            unpack_wheel(one, Path(tree))
        compile_tree(Path(tree))
        out.write_bytes(build_archive(Path(tree)))
    out.chmod(0o755)
    return out


if __name__ == "__main__":
    print(main(Path(sys.argv[1]), Path(sys.argv[2])))
