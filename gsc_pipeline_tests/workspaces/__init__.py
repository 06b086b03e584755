"""Tests of the workspaces file and of the roll-out."""
