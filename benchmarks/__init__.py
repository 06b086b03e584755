"""Benchmarks of the project beside a floor and other programs. Not part of the package.

`python -m benchmarks --help` lists what can be measured; `make bench` writes RESULTS.md.
"""
