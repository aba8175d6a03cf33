"""Read the sound of video files, and compute its spectrograms."""
