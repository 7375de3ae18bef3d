"""Every private name that wacht uses is still there, with the parameters that it has today."""

from __future__ import annotations

import importlib
import inspect
from importlib.metadata import version

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
        found = ", ".join(inspect.signature(getattr(owner, one.name)).parameters)
        if found != one.parameters:
            told = _broken(one).format(f"has other parameters ({found}, not {one.parameters}) for")
            pytest.fail(told, pytrace=False)
