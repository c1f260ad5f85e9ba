"""A labeler for each thing that labels can rest on."""
