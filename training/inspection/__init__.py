"""What a recording, video or folder holds and what it is usable for."""
