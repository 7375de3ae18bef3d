"""The Textual app and its controllers. `app.py` is the table of contents: it makes each controller, and hands keys and
messages to it.

A controller is a plain class with its own state. It is given the controllers that it uses and a port to the Textual app
(`ports`), and inherits from neither: `acting` (plan, ask, send) with `action_outcomes` (verify) and `rollout_dialogs`,
`undo_actions`, `replay_mode`, `cluster_switching`, `cluster_updates` (from pollers to screens), `navigation`,
`input_handling`, `command_line` (`:` and palette), `export_commands`, `journal_queries`, `shift_notes`,
`plugin_loading`, `command_runs` (a site's commands), `notifications`, `error_reporting`. What is on the screen is
one value, `fleet.session` (`console.clusters.fleet`).

Not here: what a screen shows (`screens`), what a table shows (`tables`), and decisions about the machine."""
