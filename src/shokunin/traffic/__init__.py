"""The server's record of traffic: kept before a reply ends, stored in batches, read by the owner."""
