"""One process for each device: what runs in it, and what starts and watches it."""
