"""The documents of `docs/` that are made from code, so that they stay true: `python -m console.pages docs`."""
