"""Pictures of predictions, labels and shapes."""
