"""The one way to change the machine: plan, pre-flight checks, preview, confirmation, send, verification, roll-out.

`gate` holds the order of these steps. `planning` makes a plan, `preflight` runs the checks (`console.preflight`),
`preview` and `impact` show it, `confirmation` says what must be typed, `target_reads` re-reads targets, `rollout` sends
in waves. Not here: dialogs (`app`), and the proof that a change is done (`console.actions.verification`).
"""
