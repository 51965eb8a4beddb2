"""The benchmarks of mass-stop, each with a comparison. `make bench` runs them. They assert nothing."""
