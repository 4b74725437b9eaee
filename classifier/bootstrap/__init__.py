"""Makes the packaged dependencies importable."""
