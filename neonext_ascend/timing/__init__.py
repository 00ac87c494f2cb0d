"""Timing: the latency of several contenders, with an honest interval."""
