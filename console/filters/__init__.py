"""The filter language of `/`, of `:` commands and of `wacht act`:
parser, fields, matching, completion, saved filters.
"""
