"""The shift report: failures, actions and who took them, open problems, cost. Imported when a report is
requested.

Not here: the hand-over screen (`screens.handover`) and the reminders in it (`console.journal.reminders`).
"""
