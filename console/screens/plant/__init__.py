"""The screens on the plant around the nodes, each a row of data: columns, heads, what Enter opens.

A module here is a screen of its own name; key, further names and help are in `console.actions.screen_rows`.
"""
