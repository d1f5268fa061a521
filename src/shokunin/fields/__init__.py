"""Fields in documents: schema, spellings, candidates."""
