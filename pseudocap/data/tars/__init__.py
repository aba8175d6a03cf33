"""Read and index tars of samples, and draw from them in any order."""
