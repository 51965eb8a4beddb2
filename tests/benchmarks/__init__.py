"""The benchmarks of mass-stop, each with its comparison; `make bench` runs them. Nothing is asserted."""
