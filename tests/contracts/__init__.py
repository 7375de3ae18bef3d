"""What wacht leans on inside Textual, rich and httpx: `make contracts`, or `make contracts TEXTUAL=8.2.7`.

A test of these fails with a sentence that names the module to change. Product modules are imported within the tests, so
that a name that is gone is that sentence, and not an error of an import.
"""
