"""Text that leaves the process: secrets are masked, control characters escaped, formulas disarmed."""
