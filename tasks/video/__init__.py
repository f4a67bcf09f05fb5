"""Video classification: I3D on Kinetics and data like it. Importing registers the names."""
