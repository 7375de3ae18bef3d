"""Between Textual and the terminal: drivers, flow control, differential output, ordered input.

Not here: what is painted (the other modules of `widgets`).
"""
