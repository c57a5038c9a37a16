"""What is measured: workloads, what they run on and how they are run, and the grids that combine them.

Nothing here imports torch before something is built.
"""
