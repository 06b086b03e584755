"""The simulated server: requests, answers, permissions, tokens and faults."""
