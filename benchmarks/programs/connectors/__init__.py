"""Launchers of the public connectors, run by the Python of each connector's environment.

A launcher writes the connector's configuration, redirects its requests to Google's hosts, and calls its entry
point in the same process. It imports nothing of the project, which is not installed there.
"""
