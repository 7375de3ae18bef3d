"""The filter language of `/`, of `:` commands and of `wacht act`:
parser, matching and completion. Not here: the fields (`console.fields`) and saved filters (`console.config`).
"""
