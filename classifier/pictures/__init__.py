"""Bytes to pixels to array."""
