"""How surfaces look: sky, sun, lamps, shadows, reflections, weather."""
