"""Stored runs: files that are checked, what their columns mean, and one table of all of them. Needs no torch."""
