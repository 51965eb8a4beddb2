"""The measures of mass-stop, each beside what it is held against; `make bench` runs them. Nothing is asserted."""
