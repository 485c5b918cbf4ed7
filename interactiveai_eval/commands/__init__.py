"""The commands of the command line: a file for each kind, what they share beside them. The table is in `cli`."""
