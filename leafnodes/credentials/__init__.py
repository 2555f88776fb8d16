"""Who a tier is, and whom it lets in: keys, JWTs, scopes and files. Knows no log and no bus."""
