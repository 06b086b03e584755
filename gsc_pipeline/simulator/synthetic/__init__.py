"""Properties whose numbers are drawn from a seed."""
