"""Files of other projects, each in a folder with its licence and where it came from."""
