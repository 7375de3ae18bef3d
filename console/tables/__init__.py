"""What tables and panes show, as data: columns of every table, and lines of inspections. Pure; no widget, no screen.

Not here: where a table stands and what its keys do (`screens`)."""
