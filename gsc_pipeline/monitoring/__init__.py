"""Monitoring: status, health, freshness, alerts, metrics, and the audit log."""
