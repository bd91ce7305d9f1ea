"""Drills: what Keyfold is held to under faults. `./dev drill`; the figures: docs/reliability.md.

A module is a drill: `run(quick=…, seed=…, planted=…)` returns a `Report`, and the table in
`tests.drills.__main__` names it. What a drill shows no test shows again; `test_drills.py` runs the
brief form of each.
"""
