"""What `hinterland view` shows: cases, patches as training sees them, and preprocessing."""
