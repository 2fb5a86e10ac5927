"""Adding data of another hospital: experiments and advice."""
