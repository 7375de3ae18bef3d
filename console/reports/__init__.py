"""The shift report: what broke, what was done and by whom, what is open, what it cost. Imported when asked for."""
