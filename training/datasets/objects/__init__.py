"""Single objects as data: crops, car shapes, scenes to label."""
