"""Caption over HTTP: one resident captioner, files decoded in worker processes, clips batched across requests."""
