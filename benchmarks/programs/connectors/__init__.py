"""Launchers of the public connectors, run by the Python of the environment each is installed in.

A launcher writes the connector's configuration, redirects what it sends to Google's hosts, and then calls
the connector's own entry point, in the same process and otherwise unchanged. It imports nothing of the
project, which is not installed there.
"""
