"""Tests that try to break what the README promises: each ends with a true lake, or a named failure."""
