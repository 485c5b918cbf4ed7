"""What a server of this family offers, one method an endpoint, over any transport."""
