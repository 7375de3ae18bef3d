"""What a site adds to wacht: the power meter of its hall, a field with the warranty, and a case for a node."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from collectors.model import Facts, Node, Power, SourceFault
from collectors.source_registry import Descriptor
from console.config.plugins import OwnAction, OwnField


class MeterSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`meter = { file = "/run/site/hall.watts" }` in the table of a cluster."""

    file: str


class Meter:
    """Reads the watts that the hall's meter writes into a file."""

    name = "meter.power"
    floor_s = 15.0

    def __init__(self, settings: MeterSettings) -> None:
        self._file = Path(settings.file)

    def collect(self) -> Facts:
        """Read it. Raises SourceFault, whose words stand in the console."""
        try:
            text = self._file.read_text("ascii")
            return Facts(power=Power(source="hall meter", site_w=float(text)))
        except (OSError, ValueError) as error:
            raise SourceFault("refused", f"{self._file}: {error}", "does the meter's service run?") from None

    def close(self) -> None:
        """It holds nothing."""


def open_meter(cluster: str, settings: MeterSettings) -> Sequence[Meter]:
    """Called once for each cluster that has a `meter`."""
    return [Meter(settings)]


def warranty(node: Node) -> str | None:
    """Until when the vendor comes: our nodes say it in a feature, `warranty-2027`. None is unknown."""
    return next((one.removeprefix("warranty-") for one in node.features if one.startswith("warranty-")), None)


METER = Descriptor(key="meter", title="hall meter", settings=MeterSettings, opens="site_wacht:open_meter")
WARRANTY = OwnField(on="node", name="warranty", title="warranty", width=8, read=warranty)
CASE = OwnAction(
    id="case", kind="node", key="E", label="case", needs_reason=True,
    help="open a case for the node with the vendor",
    argv=("/opt/site/bin/case", "--node", "{node}", "--cluster", "{cluster}", "--reason", "{reason}"),
)  # fmt: skip
