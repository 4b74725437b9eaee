"""Which of Keras's layers a bundle may not hold, and why: every class of keras.layers is here or in layers.py.

A test compares both lists with Keras's own; docs/internals/keras-versions.md shows them.
"""

from __future__ import annotations

from typing import Final

_TEXT: Final = "it works on text or on numbers, not on pictures"
_SOUND: Final = "it works on sound, not on pictures"
_BASE: Final = "it is a base class, which computes nothing of its own"
_LOCAL: Final = "Keras 3 has no LocallyConnected layers"

REFUSED: Final[dict[str, str]] = {
    # what would run code that the bundle brings
    "Lambda": "a Lambda layer runs Python code that the bundle brings",
    "TFSMLayer": "it runs a SavedModel from a path",
    "TorchModuleWrapper": "it runs a pickled PyTorch module",
    "JaxLayer": "it runs a pickled JAX function",
    "FlaxLayer": "it runs a pickled Flax module",
    # what can't be part of a picture's way to its scores
    "StringLookup": _TEXT,
    "IntegerLookup": _TEXT,
    "TextVectorization": _TEXT,
    "Hashing": _TEXT,
    "HashedCrossing": _TEXT,
    "CategoryEncoding": _TEXT,
    "Discretization": _TEXT,
    "ReversibleEmbedding": _TEXT,
    "STFTSpectrogram": _SOUND,
    "MelSpectrogram": _SOUND,
    "MaxNumBoundingBoxes": "it works on bounding boxes, not on pictures",
    # of TensorFlow Hub
    "KerasLayer": "a hub.KerasLayer runs a SavedModel that this file only names; publish model.export()'s folder",
    "Layer": _BASE,
    "Wrapper": _BASE,
    # of Keras 2 only
    "CuDNNLSTM": "CuDNN layers run on NVIDIA GPUs only; save the model with LSTM instead",
    "CuDNNGRU": "CuDNN layers run on NVIDIA GPUs only; save the model with GRU instead",
    "LocallyConnected1D": _LOCAL,
    "LocallyConnected2D": _LOCAL,
    "MaxoutDense": "Keras has had no MaxoutDense since 2.0",
    "Highway": "Keras has had no Highway since 2.0",
}


def why_not(kind: str) -> str:
    """Why a class is not loaded."""
    return REFUSED.get(kind, f"{kind[:80]!r} is not on the list of allowed layers; custom classes are not loaded")
