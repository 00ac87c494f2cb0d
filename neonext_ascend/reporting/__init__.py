"""Reporting: results in words."""
