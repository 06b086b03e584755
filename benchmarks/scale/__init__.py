"""The system at scale: a thousand workspaces, 16 months, fifty million rows. `python -m benchmarks.scale`."""
