"""The store that processes share: real files, real processes, a real PostgreSQL."""
