"""What tables and panes show, as data: columns of every table, and lines of inspections. Pure; no widget, no screen.

Not here: the layout of tables and the effect of keys (`screens`).
"""
