"""What a recording, video, folder or scenario holds and what it is usable for."""
