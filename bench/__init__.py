"""What Vivace costs, measured beside the libraries that do the same: `make bench`."""
