"""Between Textual and the terminal: drivers, flow control, what is sent again, one key after the other.

Not here: what is painted (the other modules of `widgets`)."""
