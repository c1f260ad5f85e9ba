"""The training loop and what it keeps: config, schedule, state, logs, export."""
