"""What happens to a promise after promotion: audits, bounds that hold at any time, decisions."""
