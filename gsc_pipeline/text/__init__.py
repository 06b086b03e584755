"""Text: masking secrets, escaping control characters and formulas, reading addresses, writing files, and
putting mistakes of a configuration into words."""
