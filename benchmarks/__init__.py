"""Measuring the project against a floor and against what others use. Not part of the package.

`python -m benchmarks --help` says what can be measured; `make bench` writes RESULTS.md.
"""
