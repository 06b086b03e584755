"""The workspaces: their file, their roll-out, their thresholds."""
