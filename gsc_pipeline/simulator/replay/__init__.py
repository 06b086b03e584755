"""Properties with the numbers of an export."""
