"""The Textual app and its controllers: acting, replay, clusters, input, palette, dialogs, undo.

Not here: what one screen shows (`screens`), and decisions of any kind."""
