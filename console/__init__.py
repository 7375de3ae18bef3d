"""The console: every package decides, shows or starts something; none reads a source by itself (`collectors` does).

`cli` and `app` start it, `screens` and `tables` show, `ingest` turns readings into one `Cluster`, `health`, `plant`,
`queue`, `alerts` and `triage` judge that, `actions` says what can be changed, `gate` changes it, `journal` keeps it.
Packages import one way only: `tests/unit/test_architecture.py` holds the order."""

__version__ = "0.1.0"
