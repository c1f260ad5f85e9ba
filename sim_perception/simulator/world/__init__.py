"""A scene put together: bodies placed, dressed and posed at any time."""
