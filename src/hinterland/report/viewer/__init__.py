"""The 3D viewer: volumes small enough for a page, and the script that shows them."""
