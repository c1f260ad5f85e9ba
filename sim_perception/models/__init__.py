"""Networks and checkpoint folders, without losses."""
