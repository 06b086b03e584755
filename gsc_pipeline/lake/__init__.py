"""The lake: Delta tables with declared schemas, replaced atomically, that any Delta reader can read."""
