"""What `gsc serve` answers over HTTP: health for probes and load balancers, numbers for Prometheus.

Reads what others have found out (`health`, `figures`); changes nothing. It has no sign-in of its own.
"""
