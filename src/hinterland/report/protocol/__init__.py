"""How runs were made, what makes a comparison of them worthless, and what a reader must know."""
