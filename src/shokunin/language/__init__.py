"""Language models: weights, templates, tokens and measures of what they write."""
