"""The assets, a module per source of data. Thin: what they do is in `sync`."""
