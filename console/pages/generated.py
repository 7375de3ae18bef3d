"""All generated content under docs/, as it should be now."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import themes
from collectors.prometheus import query_docs as queries
from console.cli import shell_files
from console.config import privileges

from . import action_pages, fields_page, oncall, settings_page, states_page, xid_pages

#: Pages that are generated as a whole.
WHOLE: Mapping[str, Callable[[], str]] = {
    "actions.md": action_pages.page,
    "configuration.md": settings_page.page,
    "fields.md": fields_page.page,
    "queries.md": queries.text,
    "states.md": states_page.page,
    "xids.md": xid_pages.page,
}
#: Generated parts of handwritten pages, by name: `<!-- made: NAME -->` to `<!-- end -->`.
PARTS: Mapping[str, Callable[[], str]] = {
    "guard": oncall.guard,
    "keys": oncall.key_sets,
    "rights": privileges.tables,
    "roles": oncall.roles,
    "themes": lambda: oncall.themes(themes.themes().values()),
}
_PART = re.compile(r"(<!-- made: (\w+) -->\n)(.*?)(<!-- end -->\n)", re.S)


def pages(root: Path) -> dict[str, str]:
    """Every file below docs/ by name with its intended content; `root` is docs/."""
    found = {name: page() for name, page in WHOLE.items()}
    found |= {f"shell/{name}": text for name, text in shell_files.files().items()}
    for path in sorted(root.glob("*.md")):
        before = path.read_text(encoding="utf-8")
        if path.name not in WHOLE and (after := _PART.sub(_part, before)) != before:
            found[path.name] = after
    return found


def _part(found: re.Match[str]) -> str:
    """The new content of a generated part."""
    return f"{found[1]}{PARTS[found[2]]()}{found[4]}"
