"""The vendor's deploy form in exact integer arithmetic, in plain numpy."""
