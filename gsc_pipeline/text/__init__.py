"""Text: masking secrets, escaping control characters and formulas, reading addresses, writing files."""
