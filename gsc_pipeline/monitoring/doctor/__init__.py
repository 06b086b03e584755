"""The checks of `gsc doctor`: what an installation needs, each with its state and the next step."""
