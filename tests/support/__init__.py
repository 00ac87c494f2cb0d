"""What several tests use: cases, networks, and programs that damage or kill."""
