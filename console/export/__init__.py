"""Exports of a screen to a file or the clipboard: tables as CSV, JSON and Markdown, the screen as SVG, vendor tickets.
Imported when an export is requested.

Not here: the export commands and their dialog (`console.app.export_commands`), shift reports (`console.reports`).
"""
