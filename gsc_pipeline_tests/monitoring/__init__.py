"""Tests of monitoring: status, health, alerts, metrics, the HTTP server, the audit log."""
