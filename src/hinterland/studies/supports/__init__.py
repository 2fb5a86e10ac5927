"""Support structures: experiments and advice."""
