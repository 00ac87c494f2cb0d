"""Stand-ins for the vendor's tools: strict to the documented contract, not the vendor's, and never shipped."""
