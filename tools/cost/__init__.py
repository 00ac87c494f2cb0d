"""The cost model's fit: published figures, the graphs of the networks, and the command that fits."""
