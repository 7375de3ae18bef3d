"""The shift report: what broke, what was done and by whom, what is open, what it cost. Imported when a report is
requested.

Not here: the hand-over screen (`screens.handover`) and the reminders in it (`console.journal.reminders`).
"""
