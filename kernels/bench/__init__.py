"""Microbenchmarks of the kernels, and what they are compared with."""
