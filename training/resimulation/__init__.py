"""From a recording with labels back to a scenario: the drive re-created in the simulator."""
