"""The assets, one module for each family. `sync`, `insights` and `report`, which they call, do the work."""
