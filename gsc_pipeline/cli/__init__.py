"""The `gsc` command: options, exit codes, and what it prints."""
