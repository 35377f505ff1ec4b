"""WildfireSpreadTS: daily active fires in the United States, read from either of its two layouts."""
