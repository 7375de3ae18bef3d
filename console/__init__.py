"""The console: command line, poller, reducer, gate and screens."""

__version__ = "0.1.0"
