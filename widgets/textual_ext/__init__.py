"""Everything that overrides or reads a private name of Textual or rich, one module a purpose.

Each module says what it mends, which measurement or upstream issue justifies it, and what to do when Textual changes
it. `tests/contracts` holds each of these names and the behaviour that makes it necessary; docs/textual.md says how
Textual is upgraded. The rest of the product uses public names only (`tests/unit/test_architecture.py`).
"""
