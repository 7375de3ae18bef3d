"""The generated documents of `docs/`, so that they agree with the code: `python -m console.pages docs`.

Not here: the manual page and shell completions (`console.cli.shell_files`).
"""
