"""What several implementations of one thing must all do."""
