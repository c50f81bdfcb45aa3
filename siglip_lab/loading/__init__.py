"""Checkpoints in and out: folders, files of other libraries, hubs."""
