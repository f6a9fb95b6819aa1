"""Caffe nets on the engine: from a NetParameter to layers, and layers to operators."""
