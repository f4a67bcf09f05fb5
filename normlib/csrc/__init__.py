"""Sources of the compiled kernels, and their build."""
