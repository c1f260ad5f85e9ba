"""What a translated image still shows."""
