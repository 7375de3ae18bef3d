"""The one way to change the machine: plan, pre-flight checks, preview, confirmation, send, verification, roll-out.

`gate` holds the order of these steps, `planning` makes a plan, `preflight*` and `*_checks` say what speaks against it,
`preview*` and `impact` word it, `confirmation` says what must be typed, `verify` proves it. Not here: dialogs (`app`).
"""
