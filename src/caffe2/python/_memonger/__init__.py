"""How `memonger` works: who may share memory, and under which names."""
