"""The Textual app and its controllers: actions, replay, clusters, input, palette, dialogs, export, undo.

Not here: what a screen shows (`screens`), what a table shows (`tables`), and decisions of any kind."""
