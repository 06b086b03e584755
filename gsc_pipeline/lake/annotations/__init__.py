"""Annotations: known events that move numbers, where they come from, and how they are stored."""
