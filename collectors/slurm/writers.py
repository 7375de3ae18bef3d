"""Opens the writer of one Slurm over the configured transports. Only `console.gate.gate` may import this."""

from __future__ import annotations

from collectors.model import Writer

from . import SlurmSettings
from .commands.write import CliWriter
from .transport import TransportWriter
from .transport_choice import FallbackWriter


def open_writer(settings: SlurmSettings) -> Writer:
    """The writer of one Slurm. Starts nothing."""
    writers = [_over(name, settings) for name in settings.transports]
    return writers[0] if settings.transports == ("cli",) else FallbackWriter(writers)


def _over(name: str, settings: SlurmSettings) -> TransportWriter:
    if name == "rest":
        from .rest.write import open_writer as open_rest

        return open_rest(settings)
    if name == "native":
        from .native.write import open_writer as open_native

        return open_native(settings)
    return CliWriter(settings.prefix, conf=settings.conf)
