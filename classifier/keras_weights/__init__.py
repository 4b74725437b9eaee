"""Reads a weights file, of any Keras since 2.0.6, into the model that an architecture describes."""

from __future__ import annotations

from classifier.keras_weights.loading import load_model

__all__ = ["load_model"]
