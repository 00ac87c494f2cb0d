"""What an evaluation is made of: its artifacts, and its pictures as they are asked about and counted."""
