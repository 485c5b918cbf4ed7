"""What people read of a result: pure functions from a record to documents, figures, text and HTML."""
