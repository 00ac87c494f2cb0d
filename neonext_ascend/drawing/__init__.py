"""Drawing: plots that read well on light and on dark pages."""
