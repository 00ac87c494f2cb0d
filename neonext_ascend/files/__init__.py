"""What a file is, whatever it is called."""
