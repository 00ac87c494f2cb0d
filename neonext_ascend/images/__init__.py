"""Images: from a picture file to a network's input."""
