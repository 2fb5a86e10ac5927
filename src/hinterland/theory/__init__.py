"""Statements of the papers, and our corrections of them, in a form that can be executed."""
