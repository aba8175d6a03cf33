"""Store what a frozen encoder computed of each clip, read it, and use it as a source of samples."""
