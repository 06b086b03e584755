"""Text that leaves the process: secrets masked, control characters escaped, formulas disarmed, files."""
