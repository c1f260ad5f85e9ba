"""Labels and tracks of labels against the truth."""
