"""`make docs`: write every generated page and every generated part of a page."""

from __future__ import annotations

import sys
from pathlib import Path

from .generated import pages

root = Path(sys.argv[1])
for name, text in pages(root).items():
    path = root / name
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")
        sys.stdout.write(f"written: {path}\n")
