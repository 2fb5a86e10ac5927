"""Shapes of masks, worked out where the masks are: on a CPU or in an accelerator's memory."""
