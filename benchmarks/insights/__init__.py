"""How well the insights find what is known to be in synthetic series."""
