"""`hinterland queue`: many commands, shared out among machines that see one folder."""
