"""What addresses serve, compared with the copies that they are to serve."""
