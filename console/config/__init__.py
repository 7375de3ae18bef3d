"""The configuration file and what it leads to: `:` commands, keymaps, theme files, saved filters, plugins, a
site's commands, least privileges and the paths of wacht's own files.

Not here: the settings of a source, which are declared beside it in `collectors`.
"""
