"""Text that leaves the process: masked, escaped, disarmed, as whole files; and mistakes in words."""
