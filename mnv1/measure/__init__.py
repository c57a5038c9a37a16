"""How things are timed: the one place that measures. It knows nothing of plots, tables or files."""
