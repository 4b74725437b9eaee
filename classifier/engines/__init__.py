"""Who computes: TensorFlow or LiteRT behind one interface."""
