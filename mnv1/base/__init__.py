"""What every room may use: errors for users, files that are written whole, packages that may be missing, terminals."""
