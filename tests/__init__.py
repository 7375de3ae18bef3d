"""The tests. `unit` mirrors the product's packages; `ui` runs the Textual app in process, `pty` the program in a real
pseudo-terminal, `process` other programs, `lab` everything against a real Slurm, Prometheus and Alertmanager; `faults`
injects what docs/reliability.md lists; `native` and `nvml` have stand-ins of those libraries. `hostile`, `fuzz` and
`mutants` attack parsers and rules, `bench` measures. `support` holds what several tests share: no test module imports
another. What takes seconds is marked `slow`, so that `make quick` leaves it out."""
