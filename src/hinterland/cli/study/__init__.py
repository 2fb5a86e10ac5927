"""Parse and run the commands of `hinterland study`."""
