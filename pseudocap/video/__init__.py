"""Cut video files into clips, and decode and encode frames."""
