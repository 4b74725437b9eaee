"""Trains a compact image classifier from a folder of pictures and writes it as a bundle; never deployed."""
