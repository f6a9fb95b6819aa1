"""Parts of `LayerModelHelper`."""
