"""Private names of Textual, rich and httpx are used in one package, and each of them has a contract."""

from __future__ import annotations

import pytest

from tests.contracts.names import NAMES
from tests.support.private_names import Product, uses_in_product

pytestmark = pytest.mark.slow

PACKAGE = "widgets/textual_ext/"
#: Elsewhere, and why.
ELSEWHERE = {"collectors/http/connection.py": "collectors import no widgets, and httpx has no public way to a deadline"}
#: Names that are part of another in `NAMES`: its module.
_MODULES = {"_compositor", "_ansi_sequences", "_xterm_parser"}


def test_private_names_are_used_in_one_package() -> None:
    wrong = [f"{file}:{line} uses {name}" for file, line, name in sorted(uses_in_product())
             if not file.startswith(PACKAGE) and file not in ELSEWHERE]  # fmt: skip
    assert not wrong, f"move it to {PACKAGE}, or use a public name:\n" + "\n".join(wrong)
    assert set(ELSEWHERE) <= {file for file, _, _ in uses_in_product()}, "no longer needed"


def test_each_private_name_has_a_contract() -> None:
    used = {(file, name) for file, _, name in uses_in_product()}
    held = {(one.module, one.name) for one in NAMES}
    missing = {(file, name) for file, name in used - held if name not in _MODULES}
    # `Strip.__getattr__` is added, not replaced.
    assert missing == {(f"{PACKAGE}strip_cache.py", "__getattr__")}, "add it to tests/contracts/names.py"
    public = {(one.module, one.name) for one in NAMES if not one.name.startswith("_")}
    assert held - used - public == set(), "no longer used: drop it from tests/contracts/names.py"


@pytest.mark.parametrize(
    "source",
    [
        "from textual._compositor import Compositor",
        "from textual.keys import _character_to_key",
        "import rich._wrap",
        "def f(app): return app.screen._compositor",
        "from textual.strip import Strip\nStrip.divide = None",
        "from textual.app import App\nclass A(App[None]):\n    def _display(self): ...",
        "from textual.app import App\nclass A(App):\n    def f(self): self._driver",
        "from textual.app import App\nclass M:\n    def f(self): return self._batch_count\nclass A(M, App): ...",
        "import httpx\ndef f(): httpx.HTTPTransport()._pool = 1",
    ],
)
def test_a_use_is_found(source: str) -> None:
    assert list(Product({"x.py": source}).uses())


@pytest.mark.parametrize(
    "source",
    [
        "from textual.app import App\nclass A(App):\n    def f(self): self._of_my_own = self.size",
        "class A:\n    def _display(self): self._driver = 1",
        "import os\nos._exit(1)",
    ],
)
def test_what_is_not_a_use_is_not_found(source: str) -> None:
    assert not list(Product({"x.py": source}).uses())
