"""Benchmark suite: how much faster is a depthwise-separable convolution really, and why?"""
