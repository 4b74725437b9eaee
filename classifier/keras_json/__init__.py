"""Architecture JSON of any Keras since 2.0.6, checked against an allow-list and built by current Keras.

Pure Python until `build`. Nothing of the JSON reaches Keras's deserializer: see building.py.
"""

from __future__ import annotations

from classifier.keras_json.architecture import Architecture, read_architecture
from classifier.keras_json.building import Built
from classifier.keras_json.limits import Limits

__all__ = ["Architecture", "Built", "Limits", "read_architecture"]
