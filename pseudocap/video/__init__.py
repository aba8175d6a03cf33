"""From a video file to clips to frames."""
