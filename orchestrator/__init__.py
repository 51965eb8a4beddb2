"""Stops Zuora mass actions in bulk, and says truthfully what was stopped."""
