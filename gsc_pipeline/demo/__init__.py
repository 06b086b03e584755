"""The demonstration: made-up workspaces on a simulator, synced by the real commands."""
