"""The figures: every kind of work beside what the raw servers do with it, measured in the same run.

`python -m bench` (or `make bench`) runs them; `figures` says what a figure is, each other module measures some.
"""
