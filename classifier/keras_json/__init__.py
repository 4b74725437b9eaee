"""Architecture JSON of any Keras since 2.0.6, checked against an allow-list and built by current Keras."""
