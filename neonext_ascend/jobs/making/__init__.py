"""From a loaded network to each kind of artifact: asked for, written, checked, published."""
