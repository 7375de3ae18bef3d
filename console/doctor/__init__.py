"""What `wacht doctor` looks at, one module a subject; each returns findings, `run` puts them together."""
