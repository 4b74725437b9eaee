"""Known faults of what is packaged: the export that the repository keeps, and the comparison with it."""
