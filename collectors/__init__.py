"""Collectors return facts: each subpackage reads one kind of source and writes to it where it can.

`model` holds the values, the top modules what several sources share (processes, HTTP, files, text, node sets). Nothing
here knows about screens, Textual or `console`.
"""
