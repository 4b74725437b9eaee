"""What came back from a released model: reading what was kept, and whether it is still what it was published for."""
