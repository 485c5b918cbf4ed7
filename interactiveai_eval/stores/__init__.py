"""What stores hold, taken out and put in: runs as results and as pages, traces as files."""
