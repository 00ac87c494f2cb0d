"""The OM file: ATC's options and command line, its run and the verdict on it."""
