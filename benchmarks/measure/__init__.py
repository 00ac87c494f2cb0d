"""What is measured, one file each; every figure goes to results/ as JSON."""
