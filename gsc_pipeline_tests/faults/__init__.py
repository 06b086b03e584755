"""Tests that try to break the README's promises: each ends with a true lake or a reported failure."""
