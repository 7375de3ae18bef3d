"""The one way to change the machine: plan, pre-flight checks, preview, confirmation, send, verification, roll-out.

`gate` holds the order of these steps. `planning` makes a plan, `preflight_reads` runs its checks, `preview`
shows it, `confirmation` says what must be typed, `target_reads` re-reads targets, `rollout` sends in waves. Not here:
the pre-flight checks (`console.preflight`), what an action would take away (`console.actions.impact`), the proof that
it is done (`console.actions.verification`), dialogs (`app`).
"""
