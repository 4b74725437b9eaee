"""Making the compiled form of a bundle."""
