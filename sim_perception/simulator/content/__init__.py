"""What a street is made of: meshes, textures, materials."""
