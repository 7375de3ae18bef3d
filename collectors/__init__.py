"""Collectors return facts: each subpackage reads one kind of source. Nothing here knows about screens."""
