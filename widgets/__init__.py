"""Widgets paint and send messages up: table, map, panes, top line, key bar, prompt. They depend on no
source and no action.
"""
