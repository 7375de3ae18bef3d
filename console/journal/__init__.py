"""The journal of everything done to the machine: a hash-chained file, its reader, undo, reminders, shifts.

Not here: the screen (`screens.journal`) and the columns (`tables.journal_columns`)."""
