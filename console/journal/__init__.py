"""The journal of every action on the machine: a hash-chained file, its writer and reader,
undo, what is still closed, and shifts.

Not here: sending an action (`console.gate`), the journal screen (`screens.journal`) and its columns
(`tables.journal_columns`).
"""
