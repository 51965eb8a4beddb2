"""Response files: download spool, strict reader, remediation files."""
