"""The networks and exporters that NeoNeXt is held against."""
