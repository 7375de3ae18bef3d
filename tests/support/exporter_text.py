"""The text of an exporter, parsed strictly."""

from __future__ import annotations

import re

_SAMPLE = re.compile(r"([A-Za-z_:][A-Za-z0-9_:]*)(?:\{(.*)\})? (NaN|-?\d+(?:\.\d+)?(?:e[+-]\d+)?)")
_LABEL = re.compile(r'([A-Za-z_][A-Za-z0-9_]*)="([^"\\\n]*)"')
Series = dict[tuple[tuple[str, str], ...], float]


def parsed(text: str) -> dict[str, Series]:
    """Families by name, strictly: HELP, TYPE, then all samples of it, none twice, nothing else."""
    assert text.endswith("\n") and "\n\n" not in text
    found: dict[str, Series] = {}
    name = ""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if line.startswith("# HELP "):
            name = line.split(" ", 3)[2]
            assert name not in found, f"{name} comes twice"
            assert re.fullmatch(rf"# TYPE {name} (gauge|counter)", lines[number + 1])
            found[name] = {}
        elif not line.startswith("# TYPE "):
            match = _SAMPLE.fullmatch(line)
            assert match and match[1] == name, line
            labels = tuple(_LABEL.findall(match[2] or ""))
            assert ",".join(f'{key}="{value}"' for key, value in labels) == (match[2] or "")
            assert len({key for key, _ in labels}) == len(labels)
            key = tuple(sorted(labels))
            assert key not in found[name], f"{line} comes twice"
            found[name][key] = float(match[3])
    assert all(found.values())
    return found
