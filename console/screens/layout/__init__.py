"""What screens are made of: the base screen, a list with a filter, two tables, a pane beside a list."""
