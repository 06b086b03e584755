"""Measurements at scale: many workspaces, months and rows."""
