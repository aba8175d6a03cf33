"""Carry captions from pictures to clips of video that look alike."""
