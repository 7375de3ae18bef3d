"""docs/xids.md: the shipped XID policy, code by code, with the source of each advice."""

from __future__ import annotations

from collections.abc import Sequence

from collectors.nodeset import runs_of
from console.health.xid_policy import ACTIONS, SHIPPED_FILE, Advice, default_policy

_HEAD = """\
# XIDs

What the driver's error codes (XIDs) mean to wacht: made by `make docs` from `console/health/xid-policy.toml`. wacht
never acts by itself: from this it says what a node needs ("Attention", the node's screen, the pre-flight of a resume,
the severity of the alert rule GpuXid). The sources disagree, so each advice names its own, with the others
beside it.

Some codes follow another one (43, 45), sum it up (154) or add to it (171, 172). DCGM's gauge keeps only the last code
of a GPU, so what happened is the XID before: wacht looks for it in Prometheus's past and shows it beside the one that
follows. Two XIDs between two scrapes are both seen only in DCGM_EXP_XID_ERRORS_COUNT; `wacht doctor` says where it
is missing.

An NVLink 5 error (144 to 150) is fatal or not by its sub-code. The kernel's line says which: on the node wacht reads
it, telemetry does not have it. Where it is not known, no node is drained for it: look at the kernel's line first.

A site writes its own over it, code by code, in a file named in the configuration:

```toml
# xid_policy = "/etc/wacht/xid-policy.toml" in config.toml; then, in that file:
[xid.63]
action = "drain+reset"
first_step = "drain, reset the GPU; the vendor replaces it after the second time"
source = "our contract, 2026"
```

"""


def page() -> str:
    """The whole page."""
    lines = [_HEAD.rstrip() + "\n", "| action | what it means |", "|---|---|"]
    lines += [f"| `{word}` | {means} |" for word, means in ACTIONS.items()]
    lines += [
        "\n## Codes\n",
        "| XID | meaning | action | first step | source | others say |",
        "|---|---|---|---|---|---|",
    ]
    for codes, one in _alike():
        each = [(f"kernel line {word}: ", it) for word, it in one.by_severity.items()] + [("", it) for it in one.others]
        others = "<br>".join(f"{when}`{it.action}`: {it.first_step} ({it.source})" for when, it in each)
        cells = (_spans(codes), one.meaning, f"`{one.action}`", one.first_step, one.source, others)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    lines += ["\nOf any other code wacht says \"no advice\"; it counts for more than those that spare the node.\n",
              "## Sources\n", *_sources()]  # fmt: skip
    return "\n".join(lines).rstrip() + "\n"


def _alike() -> list[tuple[list[int], Advice]]:
    """Codes with the same advice, by the first of them."""
    found: dict[object, tuple[list[int], Advice]] = {}
    for code, one in sorted(default_policy().advice.items()):
        found.setdefault((one.meaning, one.followed, one.others, str(one.by_severity)), ([], one))[0].append(code)
    return list(found.values())


def _spans(codes: Sequence[int]) -> str:
    return ", ".join(f"{low}" if low == high else f"{low}-{high}" for low, high in runs_of(codes))


def _sources() -> list[str]:
    """The sources named in the head of the policy file."""
    head = SHIPPED_FILE.read_text(encoding="utf-8").partition("# Sources, as read in ")[2].partition("\n#\n")[0]
    first, *rest = head.splitlines()
    lines: list[str] = []
    for line in rest:
        text = line.removeprefix("#")
        if text.startswith("   ") and not text.startswith("      "):
            name, _, where = text.strip().partition("   ")
            if not where:
                name, _, where = text.strip().partition("  ")
            lines.append(f"- **{name.strip()}**: {where.strip()}")
        else:
            lines[-1] += " " + text.strip()
    return [f"As read in {first.rstrip(':')}:\n", *lines]
