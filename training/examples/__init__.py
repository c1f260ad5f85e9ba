"""Small documented programs that show one idea each; run them with ``python -m``."""
