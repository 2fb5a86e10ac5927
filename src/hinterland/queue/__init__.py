"""Many commands, many machines, one folder: requests, claims that expire, exact continuation."""
