"""What a frozen encoder computed of each clip, stored once: written, read, used as a source of samples."""
