"""What answers cost, rented or owned: pure arithmetic on prices, tokens, volumes, machines and energy."""
