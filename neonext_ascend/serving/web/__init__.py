"""The doors: REST, gRPC, the page, and who may come in."""
