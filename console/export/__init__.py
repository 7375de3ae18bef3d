"""Export: what a screen shows, as a file or in the clipboard. Imported when somebody asks for it."""
