"""What lasts: keys in, the journal, the report and the remediation out."""
