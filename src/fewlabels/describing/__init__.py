"""Photos and texts -> descriptors: streamed, cached by content, the same bytes in any batch."""
