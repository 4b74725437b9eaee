"""Weights files of any Keras since 2.0.6, read into the model that an architecture describes."""
