"""What sensors see and perception says as entities of the rerun viewer, and their layout."""
