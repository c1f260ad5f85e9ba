"""The lifecycle nodes: declare, wire, convert, publish."""
