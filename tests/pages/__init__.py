"""The built site in a browser: not a test of pytest's, since it needs one."""
