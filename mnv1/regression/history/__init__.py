"""Stored runs of one machine as time series, and where they change. Nominates only: a comparison confirms."""
