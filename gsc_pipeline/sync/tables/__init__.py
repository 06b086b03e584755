"""The tables besides the search data: a module for each, and the runner that they share."""
