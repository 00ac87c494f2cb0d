"""What runs beside Ray; started by ``tests/environments/ray_cluster.py`` in the environment that has it."""

HELD = "environments: ray: held: "  # how a line begins that is for who reads
