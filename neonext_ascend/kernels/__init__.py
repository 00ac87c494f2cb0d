"""The mathematics of NeoCell: geometry, the plain reference and the block-diagonal form."""
