"""Every private name that wacht uses is still there, with the parameters that it has today."""

from __future__ import annotations

import ast
import importlib
import inspect
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from tests.contracts.names import NAMES, PrivateName
from tests.support.private_names import names_of


def _broken(one: PrivateName) -> str:
    """What to do about a name that is gone or differs."""
    package = one.owner.partition(".")[0].partition(":")[0]
    owner = one.owner.rpartition(":")[2]
    return (
        f"{package} {version(package)} {{}} {owner}.{one.name}: {one.module} {one.purpose} with it; change that module"
    )


def _parameters(owner: Any, name: str) -> list[str]:
    """The parameters as the source has them: in this process wacht may have replaced the function already."""
    source = Path(inspect.getsourcefile(owner) or "").read_text(encoding="utf-8")
    body = ast.parse(source).body
    if isinstance(owner, type):
        body = next(one.body for one in body if isinstance(one, ast.ClassDef) and one.name == owner.__name__)
    made = [one.args for one in body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef) and one.name == name]
    if not made:
        return list(inspect.signature(getattr(owner, name)).parameters)
    args = made[-1]
    every = [*args.posonlyargs, *args.args, args.vararg, *args.kwonlyargs, args.kwarg]
    return [one.arg for one in every if one is not None]


@pytest.mark.parametrize("one", NAMES, ids=lambda one: f"{one.module.rpartition('/')[2]} {one.name}")
def test_a_private_name_is_still_there(one: PrivateName) -> None:
    module, _, cls = one.owner.partition(":")
    try:
        owner = importlib.import_module(module)
        owner = getattr(owner, cls) if cls else owner
    except (ImportError, AttributeError):
        pytest.fail(_broken(one).format("no longer has"), pytrace=False)
    has = hasattr(owner, one.name) or (isinstance(owner, type) and one.name in names_of(owner))
    if not has:
        pytest.fail(_broken(one).format("no longer has"), pytrace=False)
    if one.parameters is not None:
        found = ", ".join(_parameters(owner, one.name))
        if found != one.parameters:
            told = _broken(one).format(f"has other parameters ({found}, not {one.parameters}) for")
            pytest.fail(told, pytrace=False)
