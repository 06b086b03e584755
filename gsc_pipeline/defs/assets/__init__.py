"""The assets. `sync` reads and commits, `insights` computes the findings, `report` writes the report."""
