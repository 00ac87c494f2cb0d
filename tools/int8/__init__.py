"""What int8 costs, measured at length: the tables of docs/int8.md."""
